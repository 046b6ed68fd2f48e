"""What --out, --scale, --quality, stdin and stdout mean, and results that are not finite."""

import fcntl
import io
import multiprocessing
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file
from small_networks import small

from lrfdn_arch import entry
from lrfdn_arch.cli import main


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(*arguments: object) -> int:
    return entry.run(main, ["upscale", "--runtime", "eager", *map(str, arguments)])


def piped(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    code = "from lrfdn_arch.cli import console; console()"
    command = [sys.executable, "-c", code, "upscale", "--runtime", "eager", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, timeout=120)


@pytest.mark.parametrize(("name", "format"), [("b.png", "PNG"), ("deep/b.JPG", "JPEG")])
def test_a_picture_and_a_file_name_make_a_file(
    tmp_path: Path, weights: Path, photo: Path, name: str, format: str
) -> None:
    out = tmp_path / name
    assert run(photo, "--out", out, "--weights", weights) == 0
    with Image.open(out) as image:
        assert (image.format, image.size) == (format, (128, 120))
    before = out.read_bytes()
    assert run(photo, "--out", out, "--weights", weights) == 0
    assert out.read_bytes() == before, "it is kept without --overwrite"


@pytest.mark.parametrize(
    ("out", "more", "message"),
    [
        ("b.png", ["photo.png", "photo.png"], "b.png is the name of one result: give a folder"),
        ("b.png", ["."], "b.png is the name of one result: give a folder"),
        ("b.gif", ["photo.png"], "format '.gif' is not known; choose png, jpg"),
        ("b.png", ["photo.png", "--format", "jpg"], "--format jpg and --out b.png differ"),
        ("out", ["photo.png", "-"], "- (stdin) must be the only input"),
        ("b.png", ["photo.png", "--quality", "80"], "PNG: only jpg and webp take 1 to 100"),
        ("b.jpg", ["photo.png", "--quality", "0"], "--quality 0 with JPEG: only"),
        ("photo.png", ["photo.png", "--overwrite"], "would overwrite photo.png, which is also an"),
        ("b.png", ["photo.png", "--scale", "4"], "these enlarge x2. Give --weights of a network"),
    ],
)
def test_contradictions_are_one_line(
    tmp_path: Path,
    weights: Path,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    out: str,
    more: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = photo.read_bytes()
    assert run("--weights", weights, "--out", out, *more) == 2
    assert message in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "small.pth"]


def test_a_folder_may_have_a_pictures_ending(tmp_path: Path, weights: Path, photo: Path) -> None:
    (tmp_path / "out.png").mkdir()
    assert run(photo, "--out", tmp_path / "out.png", "--weights", weights, "--scale", "2") == 0
    assert (tmp_path / "out.png" / "photo_x2.png").is_file()


def test_quality_changes_the_size(tmp_path: Path, weights: Path, photo: Path) -> None:
    sizes = []
    for quality in (30, 95):
        out = tmp_path / f"{quality}.webp"
        assert run(photo, "--out", out, "--quality", quality, "--weights", weights) == 0
        sizes.append(out.stat().st_size)
    assert run(photo, "--out", tmp_path / "default.webp", "--weights", weights) == 0
    assert sizes[0] < sizes[1] == (tmp_path / "default.webp").stat().st_size


@pytest.mark.slow
def test_a_picture_from_stdin_goes_to_stdout(tmp_path: Path, weights: Path, photo: Path) -> None:
    assert run(photo, "--weights", weights) == 0
    expected = (tmp_path / "photo_x2.png").read_bytes()
    result = piped("-", "--weights", weights, data=photo.read_bytes())
    assert (result.returncode, result.stdout) == (0, expected), result.stderr
    assert b"1 upscaled" in result.stderr
    result = piped(photo, "--out", "-", "--format", "jpg", "--weights", weights)
    with Image.open(io.BytesIO(result.stdout)) as image:
        assert (image.format, image.size) == ("JPEG", (128, 120))
    result = piped("-", "--out", tmp_path / "out", "--weights", weights, data=photo.read_bytes())
    assert (tmp_path / "out" / "stdin_x2.png").read_bytes() == expected
    result = piped("-", "--weights", weights, data=b"no image")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"error: stdin: not an image, or not of a supported format" in result.stderr


def test_help_tells_about_artifacts_and_exif(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["upscale", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "they enlarge JPEG artifacts and noise" in text
    assert "EXIF are kept; the EXIF orientation is applied and reset" in text


def test_results_that_are_not_finite_are_an_error_and_are_not_written(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = small("LRFDN").state_dict()
    state["fea_conv.weight"].fill_(3e38)  # finite, which reading weights checks
    save_file(state, tmp_path / "damaged.safetensors")
    assert run(photo, "--weights", tmp_path / "damaged.safetensors") == 2
    assert "photo.png: the network's result is not finite" in capsys.readouterr().err
    assert not (tmp_path / "photo_x2.png").exists()


@pytest.mark.slow
def test_a_terminal_sees_progress_by_tiles(tmp_path: Path, weights: Path) -> None:
    Image.new("RGB", (300, 96), "red").save(tmp_path / "wide [1].png")
    shown = on_terminal(tmp_path / "wide [1].png", "--tile", "60", "--overlap", "12", weights)
    percentages = {int(text) for text in shown.replace("%", " ").split() if text.isdigit()}
    assert "1/1 wide [1].png" in shown
    assert "1 upscaled" in shown
    assert len(percentages & set(range(1, 100))) >= 3, shown


def on_terminal(*arguments: object) -> str:
    """Run the command on a pseudo terminal and return what it shows."""
    *others, weights = map(str, arguments)
    terminal, process_side = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    code = "from lrfdn_arch.cli import console; console()"
    command = [sys.executable, "-c", code, "upscale", "--runtime", "eager", "--weights", weights]
    environment = {**os.environ, "TQDM_MININTERVAL": "0"}
    process = subprocess.Popen([*command, *others], stderr=process_side, env=environment)
    os.close(process_side)
    shown = b""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # Linux: the other side is closed
            break
        if not data:
            break
        shown += data
    assert process.wait() == 0
    os.close(terminal)
    return shown.decode()


@pytest.mark.slow
def test_sigterm_ends_as_ctrl_c_does_and_leaves_nothing(tmp_path: Path, weights: Path) -> None:
    # Stopped while a result is being written: the write is slowed down.
    code = """
import pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes ignore it
write = pathlib.Path.write_bytes
def slow(path, data):
    write(path, data[:10])
    print("writing", flush=True)
    for _ in range(600):  # one long sleep lasts where another thread receives the signal
        time.sleep(0.1)
pathlib.Path.write_bytes = slow
from lrfdn_arch.cli import console
console()
"""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    command = [sys.executable, "-c", code, "upscale", str(tmp_path / "a.png")]
    command += ["--runtime", "eager", "--weights", str(weights)]
    for number, exit_code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        started = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert time.monotonic() - started < 20
        assert process.returncode == exit_code, errors
        assert b"Traceback" not in errors
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "small.pth"]


def test_sigterm_ends_forked_processes_without_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def command(arguments: Sequence[str]) -> int:
        context = multiprocessing.get_context("fork")
        running = context.Event()  # Python drops signals that arrive while it forks

        def wait() -> None:
            running.set()
            time.sleep(60)

        process = context.Process(target=wait)
        process.start()
        assert running.wait(30)
        process.terminate()
        process.join(30)
        assert process.exitcode == -signal.SIGTERM
        return 0

    assert entry.run(command, []) == 0
    assert "Traceback" not in capfd.readouterr().err


def test_sigterm_is_handled_as_before_after_a_command() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert entry.run(lambda arguments: os.kill(os.getpid(), signal.SIGTERM), []) == 143
    assert signal.getsignal(signal.SIGTERM) is before
