"""Free memory: what the machine has, and what a container's limit leaves of it."""

from pathlib import Path

import psutil
import pytest
import torch

from lrfdn_arch import device


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(device, "_CGROUP", tmp_path)
    return tmp_path


def free() -> int:
    return device.free_memory(torch.device("cpu"))


def write(folder: Path, **files: object) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_a_limit_the_machines_memory_counts(cgroup: Path) -> None:
    assert free() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    write(cgroup, memory__max="max", memory__current=5, memory__stat="inactive_file 1")
    assert free() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_counts_without_its_page_cache(cgroup: Path, version: int) -> None:
    limit, used, cache = 6 << 20, 5 << 20, 3 << 20
    if version == 2:
        stat = f"active_file 7\ninactive_file {cache}"
        write(cgroup, memory__max=limit, memory__current=used, memory__stat=stat)
    else:
        names = {"memory__limit_in_bytes": limit, "memory__usage_in_bytes": used}
        stat = f"inactive_file 7\ntotal_inactive_file {cache}"
        write(cgroup / "memory", **names, memory__stat=stat)
    assert free() == limit - used + cache


def test_a_limit_that_is_exceeded_leaves_nothing(cgroup: Path) -> None:
    write(cgroup, memory__max=4096, memory__current=8192, memory__stat="inactive_file 0")
    assert free() == 0
