"""A tested network beside bicubic enlargement: a table, a picture, and whether it is better."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tabulate import tabulate

from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.evaluation.metrics import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from lrfdn_arch.options import TestOptions, to_basicsr
from lrfdn_arch.report.side_by_side import Image, Row, side_by_side, where_they_differ_most

METRICS = {"PSNR": psnr_rgb, "SSIM": ssim_rgb, "PSNR (Y)": psnr_y, "SSIM (Y)": ssim_y}


@dataclass(frozen=True)
class Compared:
    """One image: uint8 RGB arrays, ``lq`` (H, W, 3), the others (H*scale, W*scale, 3)."""

    name: str
    scale: int
    lq: Image
    bicubic: Image
    sr: Image
    gt: Image

    def metrics(self, image: Image) -> dict[str, float]:
        """Return PSNR in dB and SSIM of ``image``, cut by ``scale`` pixels on each side."""
        return {name: metric(image, self.gt, self.scale) for name, metric in METRICS.items()}

    @property
    def is_better(self) -> bool:
        """Whether the network's PSNR on RGB is above bicubic's."""
        ours, bicubic = self.metrics(self.sr), self.metrics(self.bicubic)
        return ours["PSNR"] > bicubic["PSNR"]


def tested_images(options: TestOptions, root: Path) -> list[Compared]:
    """Return the images that ``test.py`` made of the LMDB pairs in ``options``.

    Raises:
        FileNotFoundError: a pair is missing, or the test has not been run with ``save_img`` on.
        ValueError: a dataset of the file is not a PairedLMDBDataset.
    """
    opt = to_basicsr(options, root=root)
    return [image for dataset in opt["datasets"].values() for image in _of_one_set(dataset, opt)]


def _of_one_set(dataset: dict[str, Any], opt: dict[str, Any]) -> Iterator[Compared]:
    if dataset["type"] != "PairedLMDBDataset":
        raise ValueError(f"{dataset['name']}: expected a PairedLMDBDataset, not {dataset['type']}")
    suffix = opt["val"].get("suffix") or opt["name"]
    folder = Path(opt["path"]["visualization"]) / dataset["name"]
    for pair in PairedLMDBDataset({**dataset, "output": "uint8"}):
        name = Path(pair["lq_path"]).stem
        lq, gt = (pair[key].permute(1, 2, 0).numpy() for key in ("lq", "gt"))
        sr = _read_rgb(folder / f"{name}_{suffix}.png")
        yield Compared(name, opt["scale"], lq, imresize(lq, opt["scale"]), sr, gt)


def _read_rgb(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(
            f"no image at {path}; run test.py with this option file and save_img: true first"
        )
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def comparison_table(images: list[Compared], network: str) -> str:
    """Return a Markdown table: two rows per image, bicubic and ``network``."""
    rows = [
        [image.name, label, *image.metrics(version).values()]
        for image in images
        for label, version in (("bicubic", image.bicubic), (network, image.sr))
    ]
    formats = ["", "", *(".2f" if name.startswith("PSNR") else ".4f" for name in METRICS)]
    return tabulate(rows, headers=["image", "", *METRICS], tablefmt="github", floatfmt=formats)


def comparison_picture(images: list[Compared], network: str, path: Path) -> None:
    """Write ``path``: LR, bicubic, ``network`` and ground truth of each image side by side."""
    side_by_side([_row(image, network) for image in images], path)


def _row(image: Compared, network: str) -> Row:
    nearest = image.lq.repeat(image.scale, axis=0).repeat(image.scale, axis=1)
    captions = {
        label: f"{label}, {image.metrics(version)['PSNR']:.2f} dB"
        for label, version in (("bicubic", image.bicubic), (network, image.sr))
    }
    versions = {
        f"LR (1/{image.scale})": nearest,
        captions["bicubic"]: image.bicubic,
        captions[network]: image.sr,
        "ground truth": image.gt,
    }
    return Row(image.name, versions, where_they_differ_most(image.bicubic, image.sr))
