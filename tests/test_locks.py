"""One process per output folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repository import REPOSITORY

from lrfdn_arch.locks import locked

HOLD = """
import os, sys, time
from pathlib import Path
from lrfdn_arch.locks import locked
with locked(Path(sys.argv[1]), "choose another --out"):
    if len(sys.argv) > 2 and os.fork() == 0:
        time.sleep(60)  # a worker process that outlives its parent
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def hold(folder: Path, *arguments: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, os.fspath(folder), *arguments],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{process.pid}\n".encode()
    return process


def test_the_second_process_learns_who_holds_the_folder_and_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "results/run"
    with hold(folder) as holder:
        with (
            pytest.raises(
                BlockingIOError,
                match=rf"results/run is in use by process {holder.pid} on .+"
                r" since 20\d\d-.+\. Wait until it ends, stop it, or rename",
            ),
            locked(folder, "rename it"),
        ):
            raise AssertionError("two processes hold the folder")
        with locked(tmp_path / "results/other", "unused"):
            pass
        holder.kill()
    with locked(folder, "unused"):
        pass


def test_a_killed_process_releases_the_folder_although_its_workers_live(tmp_path: Path) -> None:
    with hold(tmp_path / "run", "with a worker") as holder:
        holder.kill()
        holder.wait()
        # The worker closes its copy of the lock as soon as it runs after the fork.
        for attempt in range(20):
            try:
                with locked(tmp_path / "run", "unused"):
                    break
            except BlockingIOError:
                assert attempt < 19
                time.sleep(0.5)
        os.killpg(holder.pid, signal.SIGKILL)


def test_a_released_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "new/folder/run", "unused"):
        assert (tmp_path / "new/folder/.run.lock").is_file()
    assert not (tmp_path / "new/folder").exists()
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run", "unused"):
        (tmp_path / "run").rename(tmp_path / "run_archived")
        (tmp_path / "run").mkdir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "run", "run_archived"]
