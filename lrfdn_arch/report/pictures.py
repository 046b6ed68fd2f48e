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
from lrfdn_arch.report.side_by_side import where_they_differ_most

LARGEST = (
    640  # pixels; larger images are cropped to a square of this side, where networks differ most
)
_LOSSLESS = 101  # OpenCV's quality for lossless WebP
CAPTIONS = {BICUBIC: "LR, bicubic", HR: "Ground truth"}


@dataclass(frozen=True)
class Layer:
    """One version of every image: a network's output, bicubic or ground truth."""

    id: str
    caption: str
    folder: Path
    scores: dict[str, ImageScore]


def layers(comparison: Comparison) -> list[Layer]:
    """Return the available versions: bicubic, the networks, ground truth.

    Raises:
        ValueError: saved images are missing.
    """
    if comparison.references is None:
        return []
    bicubic = {score.name: score for score in comparison.bicubic}
    result = [Layer(BICUBIC, CAPTIONS[BICUBIC], comparison.references / BICUBIC, bicubic)]
    for entry in comparison.entries:
        if entry.images is not None:
            scores = {score.name: score for score in entry.network.images}
            result.append(Layer(entry.label, entry.label, entry.images, scores))
    if comparison.dataset.has_ground_truth:
        result.append(Layer(HR, CAPTIONS[HR], comparison.references / HR, {}))
    names = [image.name for image in comparison.baseline.network.images]
    missing = [
        str(layer.folder / f"{name}.png")
        for layer in result
        for name in names
        if not (layer.folder / f"{name}.png").is_file()
    ]
    if missing:
        raise ValueError(
            f"{len(missing)} images of these results are missing, e.g. {missing[0]}; evaluate "
            "again, or compare with --page-images 0"
        )
    return result


def pictures(comparison: Comparison, at_most: int) -> dict[str, Any]:
    """Return the data of the page's image viewer, JSON-serializable.

    Images are sorted by how much the networks differ: the largest root mean square difference
    between two networks' outputs, in grey levels.

    Args:
        comparison: the networks to compare.
        at_most: maximum number of images; those that differ most are kept.
    """
    shown = layers(comparison) if at_most else []
    networks = [layer for layer in shown if layer.id not in (BICUBIC, HR)]
    names = [image.name for image in comparison.baseline.network.images] if shown else []
    difference = {name: _difference(networks, name) for name in names}
    ordered = sorted(names, key=lambda name: (-difference[name], name))[:at_most]
    return {
        "layers": [{"id": layer.id, "caption": layer.caption} for layer in shown],
        "baseline": comparison.baseline.label,
        "total": len(names),
        "images": [_picture(shown, networks, name, difference[name]) for name in ordered],
    }


def _difference(networks: list[Layer], name: str) -> float:
    outputs = [_read(layer, name).astype(np.float32) for layer in networks]
    pairs = combinations(outputs, 2)
    return max((float(np.sqrt(np.mean((a - b) ** 2))) for a, b in pairs), default=0.0)


def _picture(
    shown: list[Layer], networks: list[Layer], name: str, difference: float
) -> dict[str, Any]:
    images = {layer.id: _read(layer, name) for layer in shown}
    height, width = next(iter(images.values())).shape[:2]
    crop = None
    if max(height, width) > LARGEST:
        pair = [images[layer.id] for layer in (networks * 2)[:2]]
        top, left, side = where_they_differ_most(pair[0], pair[1], LARGEST)
        crop = {"top": top, "left": left, "side": side}
        images = {
            layer: image[top : top + side, left : left + side] for layer, image in images.items()
        }
    return {
        "name": name,
        "size": [width, height],
        "crop": crop,
        "difference": difference,
        "scores": {
            layer.id: layer.scores[name].model_dump(mode="json", exclude={"name"})
            for layer in shown
            if name in layer.scores
        },
        "src": {layer: _data_uri(image) for layer, image in images.items()},
    }


def _read(layer: Layer, name: str) -> Image:
    return read_rgb(layer.folder / f"{name}.png")


def _data_uri(image: Image) -> str:
    done, data = cv2.imencode(".webp", image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _LOSSLESS])
    assert done, "a uint8 image of this size can be written as WebP"
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()
