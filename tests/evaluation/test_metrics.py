"""PSNR and SSIM agree with scikit-image and with BasicSR."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from lrfdn_arch.evaluation.metrics import basicsr_metrics, psnr_rgb, psnr_y, ssim_rgb, ssim_y


@pytest.fixture(scope="module")
def pair() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 200, 48 * 57 * 3).reshape(48, 57, 3)
    image = (smooth + rng.integers(0, 40, smooth.shape)).astype(np.uint8)
    gt = (smooth + rng.integers(0, 40, smooth.shape)).astype(np.uint8)
    return image, gt


def test_psnr_agrees_with_scikit_image(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    image, gt = (a[4:-4, 4:-4] for a in pair)
    expected = peak_signal_noise_ratio(gt, image, data_range=255)
    assert psnr_rgb(*pair, crop_border=4) == pytest.approx(expected, abs=1e-9)
    expected = peak_signal_noise_ratio(
        rgb2ycbcr(gt)[..., 0], rgb2ycbcr(image)[..., 0], data_range=255
    )
    assert psnr_y(*pair, crop_border=4) == pytest.approx(expected, abs=1e-9)


def test_all_four_agree_with_basicsr(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    from basicsr.metrics import calculate_psnr, calculate_ssim

    bgr = [a[..., ::-1] for a in pair]
    for ours, theirs, y in (
        (psnr_rgb, calculate_psnr, False),
        (psnr_y, calculate_psnr, True),
        (ssim_rgb, calculate_ssim, False),
        (ssim_y, calculate_ssim, True),
    ):
        expected = theirs(*bgr, crop_border=4, test_y_channel=y)
        assert ours(*pair, crop_border=4) == pytest.approx(expected, abs=2e-5), ours.__name__


def test_psnr_of_an_option_file_is_basicsrs_on_any_device(
    pair: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    from basicsr.metrics import calculate_psnr

    for y in (False, True):
        opt = {"type": "calculate_psnr", "crop_border": 4, "test_y_channel": y}
        metric = basicsr_metrics({"psnr": opt})["psnr"]
        for sr, gt in (pair, (pair[0][..., :1], pair[1][..., :1])):
            bgr = [a[..., 0] if a.shape[2] == 1 else a[..., ::-1] for a in (sr, gt)]
            expected = calculate_psnr(*bgr, crop_border=4, test_y_channel=y)
            found = metric(torch.from_numpy(sr), torch.from_numpy(gt))
            assert found == pytest.approx(expected, abs=2e-5)


def test_equal_images_have_infinite_psnr_and_ssim_one() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    assert psnr_rgb(image, image, 2) == float("inf")
    assert ssim_y(image, image, 2) == pytest.approx(1.0)


def test_other_shapes_and_empty_crops_are_refused() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ValueError, match=r"differ in shape: \(20, 20, 3\) and \(20, 19, 3\)"):
        psnr_rgb(image, image[:, :19], 0)
    with pytest.raises(ValueError, match=r"20x20 pixels are too few .* crop_border 10"):
        psnr_y(image, image, 10)
    with pytest.raises(ValueError, match="11x11 must remain"):
        ssim_rgb(image, image, 5)
