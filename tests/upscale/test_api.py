"""The Python API returns what it is given, enlarged: the same kind, type and channels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import small

import lrfdn_arch
from lrfdn_arch import Upscaler, entry
from lrfdn_arch.archs import ARCHITECTURES
from lrfdn_arch.cli import main


@pytest.fixture
def upscaler(weights: Path) -> Upscaler:
    return Upscaler(weights, device="cpu", runtime="eager")


def noise(*shape: int, dtype: Any = np.uint8) -> Any:
    pixels = np.random.default_rng(0).random(shape)
    largest = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return (pixels * largest).astype(dtype)


def expected(lq: torch.Tensor) -> torch.Tensor:
    """What the network itself makes of (N, 3, H, W)."""
    with torch.no_grad():
        return small("LRFDN")(lq).clamp(0, 1)


def test_the_shipped_weights_need_no_argument() -> None:
    assert Upscaler().scale == 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_an_image_becomes_an_image_with_its_channels(upscaler: Upscaler, mode: str) -> None:
    image = Image.fromarray(noise(8, 9, 3)).convert(mode)
    result = upscaler(image)
    kept = {"1": "L", "P": "RGB", "CMYK": "RGB"}
    assert (result.size, result.mode) == ((18, 16), kept.get(mode, mode))


def test_an_image_equals_what_the_command_writes(
    upscaler: Upscaler, weights: Path, tmp_path: Path
) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(noise(8, 9, 3)).save(source)
    assert entry.run(main, ["upscale", str(source), "--weights", str(weights)]) == 0
    with Image.open(source) as image, Image.open(tmp_path / "a_x2.png") as written:
        difference = np.asarray(upscaler(image)).astype(int) - np.asarray(written)
    assert np.abs(difference).max() <= 1, "another runtime may round one step apart"


def test_deep_grey_images_stay_deep(upscaler: Upscaler) -> None:
    result = upscaler(Image.fromarray(noise(8, 9, dtype=np.uint16)))
    assert (result.size, result.mode) == ((18, 16), "I;16")


def test_the_color_profile_stays_with_the_image(upscaler: Upscaler) -> None:
    image = Image.fromarray(noise(8, 9, 3))
    image.info["icc_profile"] = b"profile"
    assert upscaler(image).info["icc_profile"] == b"profile"


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 2), (8, 9, 3), (8, 9, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_an_array_keeps_its_type_and_channels(
    upscaler: Upscaler, shape: tuple[int, ...], dtype: Any
) -> None:
    result = upscaler(noise(*shape, dtype=dtype))
    assert (result.shape, result.dtype) == ((16, 18, *shape[2:]), dtype)


def test_an_array_of_floats_is_not_rounded(upscaler: Upscaler) -> None:
    pixels = noise(8, 9, 3, dtype=np.float32)
    lq = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    found = torch.from_numpy(upscaler(pixels)).permute(2, 0, 1)[None]
    torch.testing.assert_close(found, expected(lq), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tensor_keeps_its_type_and_each_image_of_a_batch_its_place(
    upscaler: Upscaler, dtype: torch.dtype
) -> None:
    lq = torch.rand(3, 3, 8, 9).to(dtype)
    result = upscaler(lq.requires_grad_())
    assert (result.dtype, result.requires_grad) == (dtype, False)
    tolerance = 1e-5 if dtype in (torch.float32, torch.float64) else 5e-3
    torch.testing.assert_close(result.float(), expected(lq.float()), atol=tolerance, rtol=0)


def test_a_tensor_of_integers_is_rounded(upscaler: Upscaler) -> None:
    lq = torch.from_numpy(noise(1, 3, 8, 9))
    sr = expected(lq / 255).mul(255).round()
    assert torch.equal(upscaler(lq), sr.byte())


def test_progress_ends_at_one(weights: Path) -> None:
    upscaler = Upscaler(weights, device="cpu", runtime="eager", tile=48, overlap=12)
    shares: list[float] = []
    upscaler(torch.rand(2, 3, 60, 100), progress=shares.append)
    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (12, 1.0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("photo.png", "expected a PIL image, a numpy array or a torch tensor, found str"),
        (np.zeros((2, 3, 8, 9), np.uint8), r"expected an array .H, W. or .* found \(2, 3, 8, 9\)"),
        (np.zeros((8, 9, 5), np.uint8), r"found \(8, 9, 5\)"),
        (np.zeros((0, 9, 3), np.uint8), r"found \(0, 9, 3\)"),
        (np.zeros((8, 9), np.int32), "expected values of type uint8, uint16, .* found int32"),
        (np.full((8, 9), 255.0), r"expected floating-point values in \[0, 1\], found 255 to 255"),
        (np.full((8, 9), np.nan), r"in \[0, 1\], found nan"),
        (torch.zeros(3, 8, 9), r"expected a tensor .N, 1 to 4, H, W., found \(3, 8, 9\)"),
        (torch.zeros(1, 3, 8, 9, dtype=torch.int64), "expected values of type .* found int64"),
        (Image.new("F", (9, 8)), r"values of more than 8 bits .Pillow's mode F."),
    ],
)
def test_what_is_not_an_image_is_named(upscaler: Upscaler, image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        upscaler(image)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weights": "gone.pth"}, FileNotFoundError, "no weights file at gone.pth"),
        ({"device": "toaster"}, ValueError, "device 'toaster' is not known"),
        ({"precision": "int3"}, ValueError, "--precision int3|precision 'int3'"),
        ({"tile": 20}, ValueError, "--tile 20 is too small: at least 48"),
        ({"runtime": "tensorrt"}, ValueError, "runtime 'tensorrt' is not known"),
    ],
)
def test_mistakes_are_those_of_the_command(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Upscaler(**arguments)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_are_attributes_of_the_package(name: str) -> None:
    assert getattr(lrfdn_arch, name) is ARCHITECTURES[name].network


def test_other_names_are_attribute_errors() -> None:
    for name in ("Resnet", "nothing", "__wrapped__"):
        assert not hasattr(lrfdn_arch, name)
