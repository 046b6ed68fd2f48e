"""An LMDB is whole or not there: kills, full disks, growth, resumption, overwriting."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_lmdbs import photograph

from lrfdn_arch.data import ppm
from lrfdn_arch.data.lmdb_reader import open_reader, read_meta_info
from lrfdn_arch.locks import locked
from lrfdn_arch.prepare import writers
from lrfdn_arch.prepare.packing import PackOptions, Target, pack
from lrfdn_arch.prepare.writers import LmdbWriter, recover

JOB = {"test": 1}
IMAGES = {f"im{i:02d}": photograph(40, 50, seed=i) for i in range(12)}


def put_all(writer: LmdbWriter, images=IMAGES, commit_each: bool = True) -> list[str]:
    added = []
    for key, image in images.items():
        if key not in writer.done:
            writer.put(key, ppm.encode(image), image.shape, extension="ppm")
            added.append(key)
            if commit_each:
                writer.commit()
    return added


def assert_holds(path: Path, images=IMAGES) -> None:
    reader = open_reader(path)
    assert [info.key for info in reader.infos] == sorted(images)
    for info, image in reader.images():
        np.testing.assert_array_equal(image, images[info.key])
        assert (info.height, info.width, info.channels) == image.shape


def test_nothing_stands_under_the_final_name_before_publish(tmp_path):
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        put_all(writer)
        assert not (tmp_path / "a.lmdb").exists()
        writer.publish()
    assert_holds(tmp_path / "a.lmdb")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.lmdb"]
    assert sorted(p.name for p in (tmp_path / "a.lmdb").iterdir()) == [
        "checksums.txt",
        "data.mdb",
        "job.json",
        "meta_info.txt",
    ]


def test_the_map_grows_as_far_as_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_FIRST_MAP_SIZE", 1 << 14)
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        put_all(writer)
        writer.publish()
    assert_holds(tmp_path / "a.lmdb")
    assert (tmp_path / "a.lmdb/data.mdb").stat().st_size > 4 * (1 << 14)


def test_memory_is_bounded_by_committing(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_COMMIT_BYTES", 13_000)  # two images
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        put_all(writer, commit_each=False)
        assert len(writer.done) == 10 or len(writer.done) == 12


def test_a_second_run_adds_only_what_is_missing(tmp_path):
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        put_all(writer, {k: IMAGES[k] for k in list(IMAGES)[:5]})
        image = IMAGES["im07"]
        writer.put("im07", ppm.encode(image), image.shape, extension="ppm")  # not committed
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        assert sorted(writer.done) == list(IMAGES)[:5]
        assert put_all(writer) == list(IMAGES)[5:]
        writer.publish()
    assert_holds(tmp_path / "a.lmdb")


def test_what_another_job_left_is_dropped(tmp_path):
    with LmdbWriter(tmp_path / "a.lmdb", {"test": 2}) as writer:
        put_all(writer)
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        assert not writer.done


@pytest.mark.parametrize("damage", ["cut", "garbage", "lines"])
def test_a_damaged_partial_lmdb_is_started_again(tmp_path, damage):
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        put_all(writer)
    partial = tmp_path / "a.lmdb.partial"
    if damage == "cut":
        os.truncate(partial / "data.mdb", 20_000)
    elif damage == "garbage":
        (partial / "data.mdb").write_bytes(b"nonsense" * 5000)
    else:
        (partial / "checksums.txt").write_text("00000000 6013 im00.ppm (40,50,3) 1\n")
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        assert not writer.done
        put_all(writer)
        writer.publish()
    assert_holds(tmp_path / "a.lmdb")


def write_all(path: Path, overwrite: bool) -> None:
    with LmdbWriter(path, JOB, overwrite=overwrite) as writer:
        put_all(writer)
        writer.publish()


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_moment_it_is_whole_or_not_there_and_a_second_run_completes_it(
    tmp_path, overwrite
):
    path = tmp_path / "a.lmdb"
    old = {"old": IMAGES["im00"]}
    if overwrite:
        with LmdbWriter(path, {"test": 0}) as writer:
            put_all(writer, old)
            writer.publish()
    context = multiprocessing.get_context("fork")
    killed_midway = 0
    for attempt in range(200):
        process = context.Process(target=write_all, args=(path, overwrite))
        process.start()
        time.sleep(0.001 * attempt)
        process.kill()
        process.join()
        if path.exists():  # whole: the old one, or the new one
            new = LmdbWriter.made_from(path) == JOB
            assert_holds(path, IMAGES if new else old)
            if new:
                break
        killed_midway += (tmp_path / "a.lmdb.partial").exists()
    assert killed_midway, "no kill came while it was at work"
    if LmdbWriter.made_from(path) != JOB:
        write_all(path, overwrite)
    recover(path)
    assert_holds(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.lmdb"]


@pytest.mark.parametrize("step", range(8))
def test_a_publish_stopped_between_any_two_steps_loses_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "a.lmdb"
    with LmdbWriter(path, {"test": 0}) as writer:
        put_all(writer, {"old": IMAGES["im00"]})
        writer.publish()
    steps = []

    def stop_at(original):
        def call(*arguments, **keywords):
            if len(steps) == step:
                raise KeyboardInterrupt
            steps.append(original)
            return original(*arguments, **keywords)

        return call

    with LmdbWriter(path, JOB, overwrite=True) as writer:
        put_all(writer)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Path, "rename", stop_at(Path.rename))
            patched.setattr(Path, "unlink", stop_at(Path.unlink))
            patched.setattr(writers, "write_whole", stop_at(writers.write_whole))
            patched.setattr(writers, "sync", stop_at(writers.sync))
            writer.publish()
            raise KeyboardInterrupt
    if path.exists():
        assert LmdbWriter.made_from(path) in (JOB, {"test": 0})
    if LmdbWriter.made_from(path) != JOB:
        with LmdbWriter(path, JOB, overwrite=True) as writer:
            assert put_all(writer) == []  # everything was committed
            writer.publish()
    assert_holds(path)


def test_what_is_there_is_not_overwritten_unless_told(tmp_path):
    path = tmp_path / "a.lmdb"
    with LmdbWriter(path, JOB) as writer:
        put_all(writer)
        writer.publish()
    with pytest.raises(FileExistsError, match=r"a\.lmdb exists\. .*--overwrite"):
        LmdbWriter(path, JOB)
    with LmdbWriter(path, JOB, overwrite=True) as writer:
        put_all(writer, {"new": IMAGES["im03"]})
        assert_holds(path)  # the old one, until the new one is whole
        writer.publish()
    assert_holds(path, {"new": IMAGES["im03"]})


FULL = """
import resource, sys
sys.path[:0] = [{tests!r}, {repository!r}]
from pathlib import Path
from prepare.test_lmdb_writer import JOB, put_all
from lrfdn_arch import entry
from lrfdn_arch.prepare.writers import LmdbWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
def command(arguments):
    with LmdbWriter(Path({path!r}), JOB) as writer:
        put_all(writer)
sys.exit(entry.run(command, []))
"""


def test_a_full_disk_is_an_error_that_says_what_to_do_and_a_second_run_goes_on(tmp_path):
    path, tests = tmp_path / "a.lmdb", Path(__file__).parent.parent
    code = FULL.format(tests=str(tests), repository=str(tests.parent), path=str(path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2, run.stderr
    assert f"{path}: writing failed" in run.stderr
    assert "GB are free" in run.stderr
    assert "Traceback" not in run.stderr
    with LmdbWriter(path, JOB) as writer:
        assert 0 < len(writer.done) < len(IMAGES)
        put_all(writer)
        writer.publish()
    assert_holds(path)


def test_two_processes_do_not_write_the_same_lmdb(tmp_path):
    (tmp_path / "im.ppm").write_bytes(ppm.encode(IMAGES["im00"]))
    targets = [Target(tmp_path / name, scale) for name, scale in (("HR.lmdb", 1), ("LR.lmdb", 2))]
    with (
        locked(targets[1].path, ""),
        pytest.raises(BlockingIOError, match=rf"LR\.lmdb is in use by process {os.getpid()} "),
    ):
        pack({"im": tmp_path / "im.ppm"}, targets, PackOptions(multiple=2))
    pack({"im": tmp_path / "im.ppm"}, targets, PackOptions(multiple=2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["HR.lmdb", "LR.lmdb", "im.ppm"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file.a\.lmdb: writing failed"):
        LmdbWriter(tmp_path / "file" / "a.lmdb", JOB)


@pytest.mark.parametrize("key", ["a.b", "Ä", "", "x" * 512])
def test_keys_that_basicsr_or_lmdb_would_not_find_are_refused(tmp_path, key):
    with (
        LmdbWriter(tmp_path / "a.lmdb", JOB) as writer,
        pytest.raises(ValueError, match="a key is 1 to 511 ASCII"),
    ):
        writer.put(key, b"", (1, 1, 3), extension="ppm")


def test_the_keys_in_meta_info_are_sorted(tmp_path):
    with LmdbWriter(tmp_path / "a.lmdb", JOB) as writer:
        put_all(writer, dict.fromkeys("bca", IMAGES["im00"]))
        writer.publish()
    text = (tmp_path / "a.lmdb/meta_info.txt").read_text()
    assert text.splitlines() == [f"{k}.ppm (40,50,3) 1" for k in "abc"]
    assert [info.key for info in read_meta_info(tmp_path / "a.lmdb")] == ["a", "b", "c"]
