"""What lies under alpha stays there."""

import numpy as np
import pytest
from small_networks import small

from lrfdn_arch.inference.runtimes import open_runtime
from lrfdn_arch.upscale.picture import Picture, unmultiplied, with_hidden_filled
from lrfdn_arch.upscale.upscaler import PictureUpscaler


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_pixels_take_the_colour_of_the_nearest_seen_one(dtype: type, channels: int) -> None:
    alpha = np.zeros((9, 20), dtype)
    alpha[:, 0], alpha[4, 19] = 1, 255
    colours = np.zeros((9, 20, channels), dtype)
    colours[:, 0] = np.arange(9)[:, None] + 1
    colours[4, 19] = 100
    filled = with_hidden_filled(colours, alpha)
    np.testing.assert_array_equal(filled[:, 5, 0], np.arange(9) + 1)
    assert (filled[3:6, 15:] == 100).all()
    np.testing.assert_array_equal(filled[alpha > 0], colours[alpha > 0])
    assert not colours[4, 5].any(), "what came stays as it was"


@pytest.mark.parametrize("alpha", [0, 255])
def test_wholly_hidden_or_seen_pictures_stay_as_they_are(alpha: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    filled = with_hidden_filled(colours, np.full((5, 6), alpha, np.uint8))
    np.testing.assert_array_equal(filled, colours)


@pytest.mark.parametrize("size", [(1, 7), (7, 1), (2, 2)])
def test_one_seen_pixel_fills_tiny_pictures(size: tuple[int, int]) -> None:
    colours, alpha = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    colours[0, 0], alpha[0, 0] = (1, 2, 3), 9
    assert (with_hidden_filled(colours, alpha) == (1, 2, 3)).all()


def test_premultiplied_colours_are_divided() -> None:
    colours = np.array([[[64], [200], [10]]], np.uint8)
    alpha = np.array([[[128], [100], [0]]], np.uint8)
    assert unmultiplied(colours, alpha).ravel().tolist() == [128, 255, 255]


def test_a_white_disc_on_hidden_black_has_no_dark_fringe() -> None:
    y, x = np.mgrid[:40, :40]
    inside = np.hypot(y - 20, x - 20) < 13
    pixels = np.repeat(inside[..., None], 4, axis=2).astype(np.uint8) * 255
    # A network's own colours and alphas are a few steps off; black would be hundreds.
    found = PictureUpscaler(open_runtime(small("LRFDN"), device="cpu"), tile=0)(Picture(pixels))
    white = PictureUpscaler(open_runtime(small("LRFDN"), device="cpu"), tile=0)(
        Picture(np.full((40, 40, 3), 255, np.uint8))
    )
    np.testing.assert_array_equal(found.pixels[..., :3], white.pixels)
