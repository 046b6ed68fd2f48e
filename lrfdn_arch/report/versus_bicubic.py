"""Comparison of a tested network with bicubic upscaling, as a table and a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tabulate import tabulate

from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.measure import Sample, measure
from lrfdn_arch.evaluation.metrics import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from lrfdn_arch.options import TestOptions, to_basicsr
from lrfdn_arch.report.side_by_side import Image, Row, side_by_side, where_they_differ_most

BICUBIC = "bicubic"
METRICS = {"PSNR": psnr_rgb, "SSIM": ssim_rgb, "PSNR (Y)": psnr_y, "SSIM (Y)": ssim_y}


@dataclass(frozen=True)
class Compared:
    """One image, upscaled by several methods; all images are uint8 RGB.

    Attributes:
        name: name of the image.
        scale: upscaling factor.
        lq: (H, W, 3).
        gt: (H*scale, W*scale, 3).
        results: images of the size of ``gt`` by label: "bicubic", the tested network, others.
    """

    name: str
    scale: int
    lq: Image
    gt: Image
    results: Mapping[str, Image]

    def metrics(self, label: str) -> dict[str, float]:
        """Return PSNR in dB and SSIM of a result, excluding ``scale`` border pixels."""
        image = self.results[label]
        return {name: metric(image, self.gt, self.scale) for name, metric in METRICS.items()}

    def is_better(self, label: str) -> bool:
        """Whether a result's PSNR on RGB is above bicubic's."""
        return self.metrics(label)["PSNR"] > self.metrics(BICUBIC)["PSNR"]


def tested_images(
    options: TestOptions, root: Path, others: Sequence[Competitor] = ()
) -> list[Compared]:
    """Return the images that ``lrfdn test`` saved for the LMDB pairs in ``options``.

    Args:
        options: options of the test; its network's type is the label of its results.
        root: folder that the paths in the option file are relative to.
        others: additional networks, run on the same images now.

    Raises:
        ValueError: another network has a different scale or a label that is already used.
    """
    for other in others:
        if other.scale != options.scale:
            raise ValueError(
                f"--beside {other.label}: expected x{options.scale}, got x{other.scale}"
            )
        if other.label in (BICUBIC, options.network_g.type):
            raise ValueError(f"--beside {other.label}: give it another label, LABEL=FILE")
    opt = to_basicsr(options, root=root)
    sets = opt["datasets"].values()
    return [image for dataset in sets for image in _of_one_set(dataset, opt, others)]


def _of_one_set(
    dataset: dict[str, Any], opt: dict[str, Any], others: Sequence[Competitor]
) -> Iterator[Compared]:
    if dataset["type"] != "PairedLMDBDataset":
        raise ValueError(f"{dataset['name']}: expected a PairedLMDBDataset, not {dataset['type']}")
    suffix = opt["val"].get("suffix") or opt["name"]
    folder = Path(opt["path"]["visualization"]) / dataset["name"]
    for pair in PairedLMDBDataset({**dataset, "output": "uint8"}):
        name = Path(pair["lq_path"]).stem
        lq, gt = (pair[key].permute(1, 2, 0).numpy() for key in ("lq", "gt"))
        results = {
            BICUBIC: imresize(lq, opt["scale"]),
            opt["network_g"]["type"]: _read_rgb(folder / f"{name}_{suffix}.png"),
        }
        for other in others:
            results[other.label] = _upscaled(other, name, pair["lq"])
        yield Compared(name, opt["scale"], lq, gt, results)


def _upscaled(competitor: Competitor, name: str, lq: torch.Tensor) -> Image:
    results: list[Image] = []
    measure(
        competitor.network,
        [Sample(name, lq[None])],
        data_range=competitor.data_range,
        save=lambda _, image: results.append(image),
    )
    return results[0]


def _read_rgb(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(
            f"no image at {path}; run `lrfdn test` with this option file and save_img: true first"
        )
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def comparison_table(images: list[Compared]) -> str:
    """Return a Markdown table, a row per image and result."""
    rows = [
        [image.name, label, *image.metrics(label).values()]
        for image in images
        for label in image.results
    ]
    formats = ["", "", *(".2f" if name.startswith("PSNR") else ".4f" for name in METRICS)]
    return tabulate(rows, headers=["image", "", *METRICS], tablefmt="github", floatfmt=formats)


def comparison_picture(images: list[Compared], path: Path) -> None:
    """Write ``path``: LR, all results and ground truth of each image side by side."""
    side_by_side([_row(image) for image in images], path)


def _row(image: Compared) -> Row:
    nearest = image.lq.repeat(image.scale, axis=0).repeat(image.scale, axis=1)
    results = {
        f"{label}, {image.metrics(label)['PSNR']:.2f} dB": result
        for label, result in image.results.items()
    }
    versions = {f"LR (1/{image.scale})": nearest, **results, "ground truth": image.gt}
    bicubic, network, *_ = image.results.values()
    return Row(image.name, versions, where_they_differ_most(bicubic, network))
