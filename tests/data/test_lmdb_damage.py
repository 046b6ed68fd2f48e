"""The processes that read LMDBs which may be damaged."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lrfdn_arch.data import lmdb_damage

PROGRAM = """
import os, time
from lrfdn_arch.data.lmdb_damage import reading_processes

with reading_processes() as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_without_lmdbs_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(lmdb_damage, "reading_processes", lambda: started.append(1))
    lmdb_damage.check_pages([])
    assert started == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
def test_they_end_when_the_process_that_started_them_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    assert parent.communicate(timeout=10)[0] == "", (
        "the pipe is closed once the child has ended too"
    )
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/exe").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}/exe").exists()
