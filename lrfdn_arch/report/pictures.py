"""Selection, cropping and encoding of the images on the page."""

import base64
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lrfdn_arch.evaluation.images import Image, read_rgb
from lrfdn_arch.evaluation.results import BICUBIC, HR, ImageScore
from lrfdn_arch.report.comparison import Comparison

# Larger images are cropped to a square of as many pixels, where networks differ most.
LARGEST = 640
_LOSSLESS = 101  # OpenCV's quality for lossless WebP
_CAPTIONS = {BICUBIC: "LR, bicubic", HR: "Ground truth"}


@dataclass(frozen=True)
class _Layer:
    """One version of every image: a network's output, bicubic or ground truth."""

    id: str
    folder: Path
    scores: tuple[ImageScore, ...] = ()

    def read(self, name: str) -> Image:
        return read_rgb(self.folder / f"{name}.png")


def pictures(comparison: Comparison, at_most: int) -> dict[str, Any]:
    """Return the data of the page's image viewer, JSON-serializable.

    Images are sorted by how much the networks differ: the largest root mean square difference
    between two networks' outputs, in grey levels. The first ``at_most`` are kept.

    Raises:
        ValueError: saved images are missing.
    """
    shown = _layers(comparison) if at_most else []
    networks = [layer for layer in shown if layer.id not in _CAPTIONS]
    names = [image.name for image in comparison.baseline.network.images] if shown else []
    difference = {name: _difference(networks, name) for name in names}
    ordered = sorted(names, key=lambda name: (-difference[name], name))[:at_most]
    return {
        "layers": [
            {"id": layer.id, "caption": _CAPTIONS.get(layer.id, layer.id)} for layer in shown
        ],
        "baseline": comparison.baseline.label,
        "total": len(names),
        "images": [_picture(shown, name, difference[name]) for name in ordered],
    }


def _layers(comparison: Comparison) -> list[_Layer]:
    if comparison.references is None:
        return []
    layers = [_Layer(BICUBIC, comparison.references / BICUBIC, comparison.bicubic)]
    layers += [
        _Layer(entry.label, entry.images, entry.network.images)
        for entry in comparison.entries
        if entry.images is not None
    ]
    if comparison.dataset.has_ground_truth:
        layers.append(_Layer(HR, comparison.references / HR))
    files = [
        layer.folder / f"{image.name}.png"
        for layer in layers
        for image in comparison.baseline.network.images
    ]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} images of these results are missing, e.g. {missing[0]}; evaluate "
            "again, or compare with --page-images 0"
        )
    return layers


def _difference(networks: list[_Layer], name: str) -> float:
    outputs = [layer.read(name).astype(np.float32) for layer in networks]
    pairs = combinations(outputs, 2)
    return max((float(np.sqrt(np.mean((a - b) ** 2))) for a, b in pairs), default=0.0)


def _picture(shown: list[_Layer], name: str, difference: float) -> dict[str, Any]:
    images = {layer.id: layer.read(name) for layer in shown}
    height, width = next(iter(images.values())).shape[:2]
    crop = None
    if max(height, width) > LARGEST:
        first, second, *_ = [images[key] for key in images if key not in _CAPTIONS] * 2
        top, left, side = where_they_differ_most(first, second, LARGEST)
        crop = {"top": top, "left": left, "side": side}
        images = {key: i[top : top + side, left : left + side] for key, i in images.items()}
    return {
        "name": name,
        "size": [width, height],
        "crop": crop,
        "difference": difference,
        "scores": {
            layer.id: score.model_dump(mode="json", exclude={"name"})
            for layer in shown
            for score in layer.scores
            if score.name == name
        },
        "src": {key: _data_uri(image) for key, image in images.items()},
    }


def where_they_differ_most(a: Image, b: Image, side: int = 64) -> tuple[int, int, int]:
    """Return (top, left, side) of the square in which two images (H, W, 3) differ most.

    The square is smaller if the images are smaller.
    """
    difference = np.abs(a.astype(np.int64) - b.astype(np.int64)).sum(axis=2)
    side = min(side, *difference.shape)
    sums = np.pad(difference.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(top), int(left), side


def _data_uri(image: Image) -> str:
    done, data = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _LOSSLESS])
    assert done, "a uint8 image of this size can be written as WebP"
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()
