"""imresize equals MATLAB's images, and the slow definition where there are none."""

from math import ceil, floor
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_lmdbs import photograph

from lrfdn_arch.data.bicubic import imresize

SET5 = ("baby", "bird", "butterfly", "head", "woman")


def cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * (x * x * x) - 2.5 * (x * x) + 1
    return -0.5 * (x * x * x) + 2.5 * (x * x) - 4 * x + 2 if x <= 2 else 0.0


def rows_by_definition(image: np.ndarray, scale: float) -> np.ndarray:
    """One pass over the rows, one output row and one tap at a time, in MATLAB's order."""
    length, shrink = len(image), min(scale, 1.0)
    width = 4 / shrink
    result = []
    for i in range(1, ceil(length * scale) + 1):
        position = i / scale + 0.5 * (1 - 1 / scale)
        first = floor(position - width / 2)
        taps = range(first, first + ceil(width) + 2)
        weights = np.array([shrink * cubic(shrink * (position - tap)) for tap in taps])
        weights = weights / weights.sum()
        row = np.zeros(image.shape[1:])
        for tap, weight in zip(taps, weights, strict=True):
            at = (tap - 1) % (2 * length)
            row += weight * image[at if at < length else 2 * length - 1 - at]
        result.append(row)
    total = np.array(result)
    if image.dtype == np.uint8:
        return np.floor(np.clip(total, 0, 255) + 0.5).astype(np.uint8)
    return total


def by_definition(image: np.ndarray, scale: float) -> np.ndarray:
    rows = rows_by_definition(image, scale)
    return rows_by_definition(rows.swapaxes(0, 1), scale).swapaxes(0, 1)


@pytest.mark.parametrize("name", SET5)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_comes_out_as_matlab_made_it(shared: Path, name: str, scale: int):
    folder = shared / "data" / "Set5"
    hr = cv2.imread(str(folder / "HR" / f"{name}.png"))
    expected = cv2.imread(str(folder / "LR_bicubic" / f"X{scale}" / f"{name}x{scale}.png"))
    assert hr is not None
    assert expected is not None
    height, width = (side - side % scale for side in hr.shape[:2])
    found = imresize(hr[:height, :width], 1 / scale)
    assert found.shape == expected.shape
    assert np.count_nonzero(found != expected) == 0


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 1 / 8, 0.37, 0.9, 1.0, 1.7, 2, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_other_factors_follow_the_definition(scale: float, channels: int):
    image = photograph(61, 47, channels, seed=3)
    found = imresize(image, scale)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, by_definition(image, scale))


@pytest.mark.parametrize("scale", [1 / 3, 1 / 8, 0.37])
def test_ties_and_overshoot_are_rounded_as_the_definition_has_it(scale: float):
    image = np.random.default_rng(0).choice(np.array([0, 1, 254, 255], np.uint8), (120, 97, 3))
    np.testing.assert_array_equal(imresize(image, scale), by_definition(image, scale))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_is_neither_rounded_nor_clipped(dtype):
    image = np.random.default_rng(1).choice([0.0, 1.0], (40, 31)).astype(dtype)
    found = imresize(image, 0.37)
    assert found.dtype == dtype
    assert found.max() > 1 or found.min() < 0
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, by_definition(image.astype(np.float64), 0.37), atol=tolerance)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 4)])
def test_images_smaller_than_the_kernel_are_reflected(size: tuple[int, int]):
    image = photograph(*size)
    np.testing.assert_array_equal(imresize(image, 0.25), by_definition(image, 0.25))


def test_the_image_is_left_alone_and_may_be_a_read_only_view():
    image = photograph(64, 64)[8:, 5:]
    image.flags.writeable = False
    before = image.copy()
    imresize(image, 0.25)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "scale", "words"),
    [
        (np.zeros((4, 4), np.int32), 0.5, "uint8 or floating point, found int32"),
        (np.zeros(4, np.uint8), 0.5, r"found \(4,\)"),
        (np.zeros((0, 4), np.uint8), 0.5, r"found \(0, 4\)"),
        (np.zeros((4, 4), np.uint8), 0, "above 0, found 0"),
        (np.zeros((4, 4), np.uint8), float("nan"), "found nan"),
    ],
)
def test_what_is_no_image_or_no_scale_is_refused(image, scale, words):
    with pytest.raises(ValueError, match=words):
        imresize(image, scale)
