"""Files are complete or absent; what killed processes left is removed, what lives is not."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from repository import REPOSITORY

from lrfdn_arch.files import check_new, remove_unfinished, replacing, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, small_files_only: Callable[[], AbstractContextManager[None]]
) -> None:
    file = tmp_path / "a.pth"
    write_whole(file, b"old")
    match = r"cannot write .*a\.pth: File too large"
    with small_files_only(), pytest.raises(OSError, match=match) as raised:
        write_whole(file, bytes(30_000))
    assert raised.value.errno == errno.EFBIG
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_a_read_only_disk_is_named_by_the_file_that_was_asked_for(mount_disk) -> None:
    file = mount_disk("ro") / "a.pth"
    with pytest.raises(OSError, match=rf"cannot write {file}: Read-only file system"):
        write_whole(file, b"new")


def test_an_error_of_another_file_keeps_its_own_name(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"other\.txt"),
        replacing(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_bytes((tmp_path / "other.txt").read_bytes())
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_files_of_killed_processes_are_removed_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from lrfdn_arch.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", code, os.fspath(tmp_path / "a.bin")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        remove_unfinished(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        writer.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.iterdir())) == 1
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_refused_before_the_work(tmp_path: Path) -> None:
    new, old = tmp_path / "new.png", tmp_path / "old.png"
    check_new(new)
    old.touch()
    check_new(new, old, overwrite=True)
    with pytest.raises(FileExistsError, match=r"old\.png exists: .*--overwrite"):
        check_new(new, old)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        check_new(tmp_path, overwrite=True)
    with pytest.raises(NotADirectoryError, match=r"old\.png is a file; expected a folder"):
        check_new(old / "models" / "new.py", overwrite=True)
