"""PSNR and SSIM as super-resolution papers report them, on RGB or on luma.

Images are uint8 arrays of shape (H, W, 3) in RGB order, or (H, W) for grey, and are compared after
removing ``crop_border`` pixels from each side. The Y metrics of papers and the RGB metrics of the
challenge differ by more than 1 dB, so the function names specify which one is computed.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Image = NDArray[np.uint8]
Metric = Callable[[Image, Image | None], float]  # of the result and the ground truth

# ITU-R BT.601 luma of RGB in [0, 255], in [16, 235]: MATLAB's rgb2ycbcr before rounding.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255


def luma(image: Image) -> NDArray[np.float64]:
    """Return the Y channel of an RGB image (H, W, 3), float64 in [16, 235], not rounded."""
    return image @ _LUMA + 16


def psnr_rgb(image: Image, gt: Image, crop_border: int) -> float:
    """PSNR in dB from the mean squared error over all channels; infinite for equal images."""
    return _psnr(*_cropped(image, gt, crop_border))


def psnr_y(image: Image, gt: Image, crop_border: int) -> float:
    """PSNR in dB of the unrounded Y channel of RGB images."""
    image, gt = _cropped(image, gt, crop_border)
    return _psnr(luma(image), luma(gt))


def ssim_rgb(image: Image, gt: Image, crop_border: int) -> float:
    """SSIM (Wang et al., 2004), mean over the channels."""
    return _ssim(*_cropped(image, gt, crop_border, at_least=11))


def ssim_y(image: Image, gt: Image, crop_border: int) -> float:
    """SSIM (Wang et al., 2004) of the unrounded Y channel of RGB images."""
    image, gt = _cropped(image, gt, crop_border, at_least=11)
    return _ssim(luma(image), luma(gt))


def challenge_metrics(crop_border: int, *, ssim: bool) -> dict[str, Metric]:
    """Return the metrics that :mod:`lrfdn_arch.evaluation.results` stores, by name."""
    functions = {"psnr_rgb": psnr_rgb, "psnr_y": psnr_y}
    if ssim:
        functions |= {"ssim_rgb": ssim_rgb, "ssim_y": ssim_y}
    return {name: partial(_with_truth, f, crop_border) for name, f in functions.items()}


def _with_truth(
    metric: Callable[[Image, Image, int], float], crop_border: int, sr: Image, gt: Image | None
) -> float:
    assert gt is not None, "challenge metrics require ground truth"
    return metric(sr, gt, crop_border)


def basicsr_metrics(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """Return the metrics of an option file's ``val: metrics``, from BasicSR's METRIC_REGISTRY.

    They are called with BGR images, or (H, W) for one channel, as BasicSR calls them.
    """
    return {name: partial(_basicsr_metric, dict(opt)) for name, opt in options.items()}


def _basicsr_metric(opt: dict[str, Any], sr: Image, gt: Image | None) -> float:
    from basicsr.metrics import calculate_metric
    from basicsr.utils.registry import METRIC_REGISTRY

    if gt is None and "img2" in inspect.signature(METRIC_REGISTRY.get(opt["type"])).parameters:
        raise ValueError("this metric needs ground truth (dataroot_gt)")
    images = {"img": sr} if gt is None else {"img": sr, "img2": gt}
    bgr = {k: i[..., 0] if i.shape[2] == 1 else i[..., ::-1] for k, i in images.items()}
    return float(calculate_metric(bgr, dict(opt)))


def _cropped(image: Image, gt: Image, border: int, at_least: int = 1) -> tuple[Image, Image]:
    if image.shape != gt.shape:
        raise ValueError(f"image and ground truth differ in shape: {image.shape} and {gt.shape}")
    height, width = image.shape[:2]
    if min(height, width) - 2 * border < at_least:
        raise ValueError(
            f"{height}x{width} pixels are too few for crop_border {border}: at least "
            f"{at_least}x{at_least} must remain"
        )
    inside = slice(border, height - border), slice(border, width - border)
    return image[inside], gt[inside]


def _psnr(image: NDArray[np.generic], gt: NDArray[np.generic]) -> float:
    error = np.mean((image.astype(np.float64) - gt.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(20 * np.log10(255 / np.sqrt(error)))


def _ssim(image: NDArray[np.generic], gt: NDArray[np.generic]) -> float:
    # The 11x11 Gaussian window of the original paper; scikit-image averages over full windows only.
    result = structural_similarity(
        image.astype(np.float64),
        gt.astype(np.float64),
        data_range=255,
        channel_axis=2 if image.ndim == 3 else None,
        gaussian_weights=True,
        sigma=1.5,
        truncate=3.5,
        use_sample_covariance=False,
    )
    assert isinstance(result, float)
    return result
