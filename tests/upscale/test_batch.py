"""Which pictures are taken and where they go, and that no fault of one spoils the rest."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.files import replacing
from lrfdn_arch.upscale.jobs import Outcome, plan, run_jobs
from lrfdn_arch.upscale.picture import Picture
from lrfdn_arch.upscale.picture_files import format_of, read_picture

PNG = format_of("png")


def save(path: Path, size: tuple[int, int] = (4, 5)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def doubled(picture: Picture) -> Picture:
    return replace(picture, pixels=picture.pixels.repeat(2, 0).repeat(2, 1))


def never(picture: Picture) -> Picture:
    raise AssertionError("the work is done before its end is known to fail")


def do(
    inputs: Sequence[Path],
    out: Path | None = None,
    format: str = "png",
    upscale: Callable[[Picture], Picture] = doubled,
    overwrite: bool = False,
) -> tuple[list[Outcome], list[str]]:
    made = plan(inputs, out, format_of(format), "_x2")
    outcomes = run_jobs(made.jobs, upscale, format_of(format), scale=2, overwrite=overwrite)
    return list(outcomes), made.failures


@pytest.mark.parametrize("out", [".", "big", "sub/big", "../in/big", "link"])
def test_results_in_the_folder_itself_are_not_taken_again(tmp_path: Path, out: str) -> None:
    folder = tmp_path / "in"
    save(folder / "a.png")
    save(folder / "sub" / "b.png")
    (tmp_path / "real").mkdir()
    (folder / "link").symlink_to(tmp_path / "real")
    for _ in range(3):
        outcomes, faults = do([folder], folder / out, overwrite=True)
        assert [outcome.job.source.name for outcome in outcomes] == ["a.png", "b.png"]
        assert not faults
    assert (folder / out / "a_x2.png").exists()
    assert (folder / out / "sub" / "b_x2.png").exists()


def test_pictures_named_like_results_are_taken_where_results_go_elsewhere(tmp_path: Path) -> None:
    for name in ("a.png", "a_x2.png"):
        save(tmp_path / "in" / name)
    outcomes, _ = do([tmp_path / "in"], tmp_path / "out")
    assert [outcome.job.target.name for outcome in outcomes] == ["a_x2.png", "a_x2_x2.png"]


@pytest.mark.parametrize("length", [252, 255, 256, 300])
def test_names_too_long_are_one_line_and_the_rest_is_done(tmp_path: Path, length: int) -> None:
    source = tmp_path / ("x" * (length - 4) + ".png")
    if length <= 255:
        save(source)
    outcomes, faults = do([source, save(tmp_path / "z.png")])
    lines = [outcome.reason for outcome in outcomes if outcome.state == "failed"] + faults
    assert sum(outcome.state == "done" for outcome in outcomes) == (2 if length == 252 else 1)
    assert (tmp_path / "z_x2.png").exists()
    assert len(lines) == (0 if length == 252 else 1)
    assert all("name too long" in line for line in lines)


def test_what_is_replacing_needs_no_longer_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    with replacing(path) as beside:
        assert beside.suffix == ".png"
        beside.touch()
    assert list(tmp_path.iterdir()) == [path]


def test_folders_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "in" / "a.png")
    closed = tmp_path / "in" / "closed"
    closed.mkdir()
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    outcomes, faults = do([tmp_path / "in"])
    assert [outcome.state for outcome in outcomes] == ["done"]
    assert faults == [f"{closed}: Permission denied"]
    assert do([closed])[1] == [f"{closed}: Permission denied"], "not that there are no images"


def test_a_target_that_cannot_be_looked_at_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [save(tmp_path / name) for name in ("a.png", "b.png")]
    exists = Path.exists

    def closed(path: Path) -> bool:
        if path.name == "a_x2.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", closed)
    outcomes, _ = do(sources)
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert "Permission denied" in outcomes[0].reason


def test_memory_that_runs_out_fails_one_picture(tmp_path: Path) -> None:
    def upscale(picture: Picture) -> Picture:
        if picture.pixels.shape[0] > 8:
            raise MemoryError("can't allocate memory")
        return doubled(picture)

    sources = [save(tmp_path / "a.png", (9, 9)), save(tmp_path / "b.png")]
    outcomes, _ = do(sources, upscale=upscale)
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    reason = "not enough memory (can't allocate memory); give a smaller --tile"
    assert outcomes[0].reason == f"{sources[0]}: {reason}"


def test_a_result_too_wide_for_its_format_is_refused_before_the_work(tmp_path: Path) -> None:
    wide = save(tmp_path / "wide.png", (1, 8192))
    ((outcome,), _) = do([wide], format="webp", upscale=never)
    assert "wide.png: WEBP cannot hold 16384 pixels a side (at most 16383)" in outcome.reason


def test_a_folder_that_takes_no_files_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "a.png")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    ((outcome,), _) = do([source], tmp_path / "out", upscale=never)
    assert "out: the folder is not writable" in outcome.reason


def test_an_out_below_a_file_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    ((outcome,), _) = do([save(tmp_path / "a.png")], tmp_path / "taken" / "below", upscale=never)
    assert outcome.state == "failed"
    assert "taken" in outcome.reason


def test_no_source_is_replaced_before_it_is_read(tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.png"), save(tmp_path / "a_x2.png")
    before = second.read_bytes()
    outcomes, _ = do([first, second], overwrite=True)
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert outcomes[0].reason.endswith("a_x2.png, which is also an input")
    assert second.read_bytes() == before
    outcomes, _ = do([first, second])
    assert [outcome.state for outcome in outcomes] == ["skipped", "skipped"]


def lrfdn_upscale(*arguments: object) -> int:
    return entry.run(main, ["upscale", "--runtime", "eager", *map(str, arguments)])


def test_pages_left_out_are_reported(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert lrfdn_upscale(tmp_path / "a.tif", "--weights", weights) == 0
    line = f"warning: {tmp_path / 'a.tif'}: contains several pages or frames; only the first"
    assert sum(text.startswith(line) for text in capsys.readouterr().err.splitlines()) == 1
    assert read_picture(tmp_path / "a_x2.png").pixels.shape == (16, 16, 3)


def test_an_out_that_is_another_file_is_a_mistake_of_the_whole_call(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, taken = save(tmp_path / "a.png"), tmp_path / "notes.txt"
    taken.write_text("notes")
    assert lrfdn_upscale(source, "--out", taken, "--weights", weights) == 2
    assert "notes.txt is a file, but not an image: give a folder" in capsys.readouterr().err


def test_pictures_of_unsupported_formats_are_named(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    for name in ("b.HEIC", "deep/c.svg", "notes.txt", ".hidden.jxl", "d.psd"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    made = plan([tmp_path / "in"], tmp_path / "out", PNG, "_x2")
    assert [job.source.name for job in made.jobs] == ["a.png"]
    assert not made.failures
    (warning,) = made.warnings
    assert warning.startswith("3 pictures of unsupported formats: ")
    assert all(name in warning for name in ("b.HEIC", "c.svg", "d.psd"))


def test_gif_and_avif_in_a_folder_are_upscaled(tmp_path: Path) -> None:
    for name in ("a.gif", "b.avif"):
        save(tmp_path / "in" / name, (16, 16))
    outcomes, faults = do([tmp_path / "in"], tmp_path / "out")
    assert [outcome.state for outcome in outcomes] == ["done", "done"], outcomes
    assert not faults


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "broken link", "loop"])
def test_what_is_not_a_regular_file_is_an_error_and_is_not_waited_for(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "in" / "odd.png"
    good = save(tmp_path / "in" / "z.png")
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "socket":
        monkeypatch.chdir(odd.parent)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(odd.name)
    else:
        odd.symlink_to({"device": "/dev/zero", "broken link": "absent"}.get(kind, odd.name))
    outcomes, faults = do([good.parent])
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert "odd.png" in outcomes[0].reason
    assert not faults
    outcomes, faults = do([odd])
    assert len([outcome for outcome in outcomes if outcome.state == "failed"] + faults) == 1


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    code = """
import os, pathlib, signal, sys
from lrfdn_arch.files import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    source, out = save(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    subprocess.run([sys.executable, "-c", code, str(out / "a_x2.png")], check=False)
    assert len(list(out.iterdir())) == 1
    outcomes, _ = do([source], out)
    assert [outcome.state for outcome in outcomes] == ["done"]
    assert [path.name for path in out.iterdir()] == ["a_x2.png"]
