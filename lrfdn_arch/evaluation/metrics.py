"""PSNR and SSIM as super-resolution papers report them, on RGB or on luma.

Images are uint8 arrays or tensors of shape (H, W, 3) in RGB order, or (H, W) for grey, and are
compared after removing ``crop_border`` pixels from each side. The Y metrics of papers and the RGB
metrics of the challenge differ by more than 1 dB, so the function names specify which one is
computed. PSNR is computed on the images' device, SSIM and BasicSR's other metrics on the CPU.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from lrfdn_arch.evaluation.images import Image

Metric = Callable[[Any, Any], float]  # of a result and its ground truth, which may be None

# ITU-R BT.601 luma of RGB in [0, 255], in [16, 235]: MATLAB's rgb2ycbcr before rounding.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255
_NEEDS_TRUTH = "this metric needs ground truth (dataroot_gt)"


def as_tensor(image: Image | Tensor) -> Tensor:
    """Return a tensor, which an array is copied to: it may be read-only or mirrored."""
    return image if isinstance(image, Tensor) else torch.from_numpy(np.array(image, order="C"))


def _as_array(image: Image | Tensor) -> Image:
    return image.cpu().numpy() if isinstance(image, Tensor) else image


def psnr_rgb(image: Image | Tensor, gt: Image | Tensor, crop_border: int) -> float:
    """PSNR in dB from the mean squared error over all channels; infinite for equal images."""
    return _psnr(image, gt, crop_border, on_luma=False)


def psnr_y(image: Image | Tensor, gt: Image | Tensor, crop_border: int) -> float:
    """PSNR in dB of the unrounded Y channel of RGB images; that of grey images as they are."""
    return _psnr(image, gt, crop_border, on_luma=True)


def ssim_rgb(image: Image | Tensor, gt: Image | Tensor, crop_border: int) -> float:
    """SSIM (Wang et al., 2004), mean over the channels."""
    return _ssim(image, gt, crop_border, on_luma=False)


def ssim_y(image: Image | Tensor, gt: Image | Tensor, crop_border: int) -> float:
    """SSIM (Wang et al., 2004) of the unrounded Y channel of RGB images."""
    return _ssim(image, gt, crop_border, on_luma=True)


def challenge_metrics(crop_border: int, *, ssim: bool) -> dict[str, Metric]:
    """Return the metrics that :mod:`lrfdn_arch.evaluation.results` stores, by name."""
    functions = (psnr_rgb, psnr_y, ssim_rgb, ssim_y) if ssim else (psnr_rgb, psnr_y)
    return {f.__name__: partial(f, crop_border=crop_border) for f in functions}


def basicsr_metrics(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """Return the metrics of an option file's ``val: metrics``, from BasicSR's METRIC_REGISTRY.

    They are called with BGR images, or (H, W) for one channel, as BasicSR calls them; its PSNR is
    computed here, where the images are.
    """
    metrics: dict[str, Metric] = {}
    for name, opt in options.items():
        arguments = {key: value for key, value in opt.items() if key != "better"}
        metrics[name] = partial(_basicsr_metric, arguments)
        if opt["type"] == "calculate_psnr" and opt.get("input_order", "HWC") == "HWC":
            psnr = psnr_y if opt.get("test_y_channel") else psnr_rgb
            metrics[name] = partial(psnr, crop_border=opt["crop_border"])
    return metrics


def _basicsr_metric(opt: dict[str, Any], sr: Tensor, gt: Tensor | None) -> float:
    from basicsr.metrics import calculate_metric
    from basicsr.utils.registry import METRIC_REGISTRY

    if gt is None and "img2" in inspect.signature(METRIC_REGISTRY.get(opt["type"])).parameters:
        raise ValueError(_NEEDS_TRUTH)
    images = {"img": sr} if gt is None else {"img": sr, "img2": gt}
    rgb = {name: _as_array(image) for name, image in images.items()}
    bgr = {k: i[..., 0] if i.shape[2] == 1 else i[..., ::-1] for k, i in rgb.items()}
    return float(calculate_metric(bgr, dict(opt)))


def _cropped(image: Any, gt: Any, border: int, at_least: int) -> tuple[Any, Any]:
    if gt is None:
        raise ValueError(_NEEDS_TRUTH)
    if image.shape != gt.shape:
        shapes = f"{tuple(image.shape)} and {tuple(gt.shape)}"
        raise ValueError(f"image and ground truth differ in shape: {shapes}")
    height, width = image.shape[:2]
    if min(height, width) - 2 * border < at_least:
        raise ValueError(
            f"{height}x{width} pixels are too few for crop_border {border}: at least "
            f"{at_least}x{at_least} must remain"
        )
    inside = slice(border, height - border), slice(border, width - border)
    return image[inside], gt[inside]


def _psnr(image: Any, gt: Any, border: int, *, on_luma: bool) -> float:
    image, gt = (as_tensor(cropped) for cropped in _cropped(image, gt, border, at_least=1))
    difference = (image.to(torch.int16) - gt).double()
    if on_luma and difference.shape[2:] == (3,):
        difference = difference @ torch.from_numpy(_LUMA).to(difference.device)
    flat = difference.flatten()
    error = torch.dot(flat, flat).item() / len(flat)  # twice as fast as numpy's mean
    return float("inf") if error == 0 else float(20 * np.log10(255 / np.sqrt(error)))


def _ssim(image: Any, gt: Any, border: int, *, on_luma: bool) -> float:
    image, gt = map(_as_array, _cropped(image, gt, border, at_least=11))
    if on_luma:
        image, gt = image @ _LUMA + 16, gt @ _LUMA + 16
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
