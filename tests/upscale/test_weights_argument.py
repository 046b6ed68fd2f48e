"""What ``--weights`` and ``--runtime`` say is what runs, or one line says why not."""

from pathlib import Path

import pytest
from PIL import Image

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.weights import find_weights


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (9, 8), (200, 100, 50)).save(path)
    return path


def lrfdn(*arguments: object) -> int:
    return entry.run(main, [str(argument) for argument in arguments])


def test_endings_in_capitals_and_foreign_files_as_weights(
    tmp_path: Path, weights: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "SMALL.ONNX"
    assert lrfdn("export", "onnx", "--weights", weights, "--out", model) == 0
    assert lrfdn("upscale", photo, "--weights", model) == 0
    assert lrfdn("export", "onnx", "--weights", model) == 2
    assert "SMALL.ONNX is an export already" in capsys.readouterr().err
    assert lrfdn("upscale", photo, "--weights", photo) == 2
    assert "photo.png is not a weights file" in capsys.readouterr().err


def test_an_empty_environment_variable_is_none(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRFDN_WEIGHTS", "")
    assert find_weights() == find_weights("lrfdn_x4")
    assert lrfdn("upscale", photo, "--runtime", "eager") == 0


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_scale_chooses_shipped_weights(
    photo: Path, scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LRFDN_WEIGHTS", raising=False)
    out = photo.with_name("large.png")
    assert lrfdn("upscale", photo, "--scale", scale, "--runtime", "eager", "--out", out) == 0
    with Image.open(out) as large:
        assert large.size == (9 * scale, 8 * scale)


def test_a_scale_without_shipped_weights_is_explained(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LRFDN_WEIGHTS", raising=False)
    assert lrfdn("upscale", photo, "--scale", "7") == 2
    assert "lrfdn_x7" in capsys.readouterr().err
