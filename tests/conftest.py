"""What tests share: where the released weights and Set5 are, if they are here at all."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from repository import REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with reference/ (released weights) and data/Set5: LRFDN_SHARED, or ../shared."""
    folder = Path(os.environ.get("LRFDN_SHARED") or REPOSITORY.parent / "shared")
    if not (folder / "reference").is_dir():
        pytest.skip(f"no released weights and images at {folder}; set LRFDN_SHARED to their folder")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny images, see `training_runs.make_images`."""
    from training_runs import make_images

    folder = tmp_path_factory.mktemp("data")
    make_images(folder)
    return folder


@contextmanager
def _small_files_only() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:  # at once: the output of pytest itself may go to a larger file
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_files_only() -> Callable[[], AbstractContextManager[None]]:
    """A context in which the system refuses files above 20 kB, as a full disk does."""
    return _small_files_only


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small disk with the given options, or again with others."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount a disk")
        return disk

    yield mount
    while disk.is_mount():
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def plain_runs(monkeypatch: pytest.MonkeyPatch):
    """Runs on one thread that neither count operations nor draw curves: a second each."""
    import torch

    from lrfdn_arch.training import metric_writers, summary

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(summary, "_network", lambda options, network: "not counted")
    monkeypatch.setattr(metric_writers, "draw_curves", lambda *_: False)
    yield
    torch.set_num_threads(before)
