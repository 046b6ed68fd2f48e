"""The command: what comes out, what is kept, what goes on after a fault, what is refused."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from small_networks import small

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.evaluation.metrics import psnr_rgb
from lrfdn_arch.inference.runtimes import open_runtime
from lrfdn_arch.upscale.picture import Picture
from lrfdn_arch.upscale.picture_files import format_of, read_picture, write_picture
from lrfdn_arch.weights import find_weights


def save(path: Path, size: tuple[int, int] = (8, 9), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(*arguments: object) -> int:
    return entry.run(main, ["upscale", "--runtime", "eager", *map(str, arguments)])


def test_a_picture_lands_beside_its_source(tmp_path: Path, weights: Path) -> None:
    source = save(tmp_path / "photo.bmp")
    assert run(source, "--weights", weights) == 0
    found = read_picture(tmp_path / "photo_x2.png").pixels
    lq = read_picture(source).pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
    sr = open_runtime(small("LRFDN"), device="cpu")(lq)[0].clip(0, 1) * 255
    np.testing.assert_array_equal(found, np.rint(sr).transpose(1, 2, 0))


def test_without_weights_those_of_the_package_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LRFDN_WEIGHTS", raising=False)
    gt = astronaut()[40:168, 180:308]
    Image.fromarray(imresize(gt, 1 / 4)).save(tmp_path / "face.png")
    assert run(tmp_path / "face.png") == 0
    found = read_picture(tmp_path / "face_x4.png").pixels
    assert psnr_rgb(found, gt, 4) > psnr_rgb(imresize(imresize(gt, 1 / 4), 4), gt, 4) + 2


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (15, 2)])
def test_tiny_pictures_work(tmp_path: Path, weights: Path, size: tuple[int, int]) -> None:
    source = save(tmp_path / "tiny.png", size)
    assert run(source, "--weights", weights) == 0
    assert read_picture(tmp_path / "tiny_x2.png").pixels.shape[:2] == (2 * size[0], 2 * size[1])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_grey_and_alpha_are_kept(
    tmp_path: Path, weights: Path, channels: int, dtype: type
) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (9, 8, channels), dtype=dtype)
    write_picture(tmp_path / "a.tif", Picture(pixels), format_of("tif"))
    assert run(tmp_path / "a.tif", "--weights", weights, "--format", "tif") == 0
    found = read_picture(tmp_path / "a_x2.tif").pixels
    assert (found.shape, found.dtype) == ((18, 16, channels), np.dtype(dtype))


def test_opaque_alpha_stays_opaque(tmp_path: Path, weights: Path) -> None:
    pixels = np.full((9, 8, 4), 255, np.uint8)
    write_picture(tmp_path / "a.png", Picture(pixels), format_of("png"))
    assert run(tmp_path / "a.png", "--weights", weights) == 0
    assert (read_picture(tmp_path / "a_x2.png").pixels[..., 3] == 255).all()


def test_folders_keep_their_structure_and_go_on_where_they_stopped(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "deep/b.jpg", "deep/er/c.webp"):
        save(tmp_path / "in" / name)
    arguments = (tmp_path / "in", "--out", tmp_path / "out", "--weights", weights)
    assert run(*arguments, "--format", "webp") == 0
    results = sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file())
    names = [str(p.relative_to(tmp_path / "out")) for p in results]
    assert names == ["a_x2.webp", "deep/b_x2.webp", "deep/er/c_x2.webp"]
    results[1].unlink()
    before = results[0].stat().st_mtime_ns
    capsys.readouterr()
    assert run(*arguments, "--format", "webp") == 0
    assert "1 upscaled, 2 already present (--overwrite" in capsys.readouterr().err
    assert results[1].exists()
    assert results[0].stat().st_mtime_ns == before


def test_results_beside_their_sources_are_not_taken_again(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "in" / "a.png")
    for _ in range(2):
        assert run(tmp_path / "in", "--weights", weights) == 0
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["a.png", "a_x2.png"]


def test_nothing_is_overwritten_unless_told(tmp_path: Path, weights: Path) -> None:
    source, target = save(tmp_path / "a.png"), tmp_path / "a_x2.png"
    target.write_text("mine")
    assert run(source, "--weights", weights) == 0
    assert target.read_text() == "mine"
    assert run(source, "--weights", weights, "--overwrite") == 0
    assert read_picture(target).pixels.shape == (16, 18, 3)


def test_one_bad_file_spoils_nothing_else(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    save(folder / "good.png")
    (folder / "bad.png").write_text("no image")
    whole = save(folder / "cut.png", (64, 64)).read_bytes()
    (folder / "cut.png").write_bytes(whole[:500])
    (tmp_path / "empty").mkdir()
    arguments = (folder, tmp_path / "empty", tmp_path / "absent.jpg", "--weights", weights)
    assert run(*arguments, "--out", tmp_path / "out") == 2
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good_x2.png"]
    summary = capsys.readouterr().err.split("1 upscaled, 4 failed:")[1].strip().splitlines()
    assert len(summary) == 4
    for fragment in ("bad.png: not an image", "cut.png: damaged image", "no images in this folder"):
        assert sum(fragment in line for line in summary) == 1
    assert sum("absent.jpg: no such file" in line for line in summary) == 1


def test_two_sources_of_one_result_are_named(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "in" / "a.jpg")
    save(tmp_path / "in" / "a.png")
    assert run(tmp_path / "in", "--weights", weights) == 2
    assert "a.png: would be written" in capsys.readouterr().err
    assert (tmp_path / "in" / "a_x2.png").exists()


def test_a_format_that_cannot_hold_the_picture_is_named_and_helped(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 8, 4), dtype=np.uint16)
    write_picture(tmp_path / "a.png", Picture(pixels), format_of("png"))
    arguments = (tmp_path / "a.png", "--weights", weights, "--format", "jpg")
    assert run(*arguments) == 2
    assert "a.png: JPEG cannot hold 16 bits per channel" in capsys.readouterr().err
    assert run(*arguments, "--depth", "8", "--drop-alpha") == 0
    assert read_picture(tmp_path / "a_x2.jpg").pixels.shape == (18, 16, 3)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, written = save(tmp_path / "a.png"), Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        written(path, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run(source, "--weights", weights) == 2
    failure = capsys.readouterr().err.strip().splitlines()[-1]
    assert failure.startswith("error:")
    assert "No space left on device" in failure
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "small.pth"]


def test_an_interruption_leaves_nothing_half_written(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, written = save(tmp_path / "a.png"), Path.write_bytes

    def interrupted(path: Path, data: bytes) -> int:
        written(path, data[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    assert run(source, "--weights", weights) == 130
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "small.pth"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tile", "20"), "--tile 20 is too small: at least 48"),
        (("--tile", "100"), "12 more than --overlap, which is 128"),
        (("--format", "gif"), "format 'gif' is not known"),
        (("--device", "toaster"), "device 'toaster' is not known"),
    ],
)
def test_mistakes_are_one_line_and_code_2(
    tmp_path: Path,
    weights: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, str],
    message: str,
) -> None:
    assert run(save(tmp_path / "a.png"), "--weights", weights, *arguments) == 2
    assert message in capsys.readouterr().err


def test_unknown_weights_and_code_in_weights_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "a.png")
    torch.save(torch.nn.Conv2d(3, 3, 3).state_dict(), tmp_path / "other.pth")
    assert run(source, "--weights", tmp_path / "other.pth") == 2
    assert "holds the weights of no network known here" in capsys.readouterr().err
    torch.save({"params": RunsCode()}, tmp_path / "evil.pth")
    assert run(source, "--weights", tmp_path / "evil.pth") == 2
    assert "would run code when read" in capsys.readouterr().err


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1/0",))


def test_weights_are_found_by_file_name_environment_and_default(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, shipped = tmp_path / "empty", tmp_path / "shipped"
    empty.mkdir()
    shipped.mkdir()
    with pytest.raises(FileNotFoundError, match=r"--weights FILE, or set LRFDN_WEIGHTS=FILE"):
        find_weights(None, empty)
    default = shipped / "lrfdn_x4.safetensors"
    default.touch()
    assert find_weights(None, shipped) == default
    assert find_weights("LRFDN_x4", shipped) == default
    assert find_weights(str(weights), shipped) == weights
    with pytest.raises(FileNotFoundError, match=r"no weights file at rfdn_x9.*lrfdn_x4"):
        find_weights("rfdn_x9", shipped)
    monkeypatch.setenv("LRFDN_WEIGHTS", str(weights))
    assert find_weights(None, shipped) == weights
    monkeypatch.setenv("LRFDN_WEIGHTS", "gone.pth")
    with pytest.raises(FileNotFoundError, match="LRFDN_WEIGHTS: no weights file at gone"):
        find_weights(None, shipped)


def test_an_exported_onnx_file_is_weights_too(tmp_path: Path, weights: Path) -> None:
    source, model = save(tmp_path / "a.png"), tmp_path / "small.onnx"
    assert entry.run(main, ["export", "onnx", "--weights", str(weights), "--out", str(model)]) == 0
    assert entry.run(main, ["upscale", str(source), "--weights", str(model)]) == 0
    found = read_picture(tmp_path / "a_x2.png").pixels.astype(int)
    assert run(source, "--weights", weights, "--overwrite") == 0
    assert np.abs(read_picture(tmp_path / "a_x2.png").pixels - found).max() <= 1
    assert run(source, "--weights", model, "--overwrite") == 2, "ONNX in the eager runtime"
