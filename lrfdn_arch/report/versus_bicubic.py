"""Comparison of a tested network with bicubic upscaling, as a table and a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.images import Image, read_rgb
from lrfdn_arch.evaluation.measure import Sample, measure
from lrfdn_arch.evaluation.metrics import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from lrfdn_arch.files import replacing
from lrfdn_arch.options import TestOptions, to_basicsr
from lrfdn_arch.report.pictures import where_they_differ_most

BICUBIC = "bicubic"
METRICS = {"PSNR": psnr_rgb, "SSIM": ssim_rgb, "PSNR (Y)": psnr_y, "SSIM (Y)": ssim_y}
_DPI = 100
_PANEL_WIDTH = 3.6  # inches


@dataclass(frozen=True)
class Compared:
    """One image, uint8 RGB, upscaled by several methods.

    ``lq`` is (H, W, 3), ``gt`` and the ``results`` by label ("bicubic", the tested network, others)
    are (H*scale, W*scale, 3); ``metrics`` are PSNR in dB and SSIM of each, excluding ``scale``
    border pixels.
    """

    name: str
    scale: int
    lq: Image
    gt: Image
    results: Mapping[str, Image]
    metrics: Mapping[str, Mapping[str, float]]

    def is_better(self, label: str) -> bool:
        """Whether a result's PSNR on RGB is above bicubic's."""
        return self.metrics[label]["PSNR"] > self.metrics[BICUBIC]["PSNR"]


def tested_images(
    options: TestOptions, root: Path, others: Sequence[Competitor] = ()
) -> list[Compared]:
    """Return the images that ``lrfdn test`` saved for the LMDB pairs in ``options``.

    The type of the tested network is the label of its results, ``root`` the folder that paths in
    the option file are relative to. ``others`` are run on the same images now.

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
    suffix, scale = opt["val"].get("suffix") or opt["name"], opt["scale"]
    for pair in PairedLMDBDataset({**dataset, "output": "uint8"}):
        name = Path(pair["lq_path"]).stem
        lq, gt = (pair[key].permute(1, 2, 0).numpy() for key in ("lq", "gt"))
        tested = Path(opt["path"]["visualization"]) / dataset["name"] / f"{name}_{suffix}.png"
        if not tested.is_file():
            raise FileNotFoundError(
                f"no image at {tested}; run `lrfdn test` with this option file and save_img: true "
                "first"
            )
        results = {BICUBIC: imresize(lq, scale), opt["network_g"]["type"]: read_rgb(tested)}
        for other in others:
            measure(
                other.network,
                [Sample(other.label, pair["lq"][None])],
                data_range=other.data_range,
                save=lambda sample, image, results=results: results.update({sample.name: image}),
            )
        metrics = {
            label: {metric: function(image, gt, scale) for metric, function in METRICS.items()}
            for label, image in results.items()
        }
        yield Compared(name, scale, lq, gt, results, metrics)


def comparison_table(images: list[Compared]) -> str:
    """Return a Markdown table, a row per image and result."""
    rows = [
        [image.name, label, *metrics.values()]
        for image in images
        for label, metrics in image.metrics.items()
    ]
    formats = ["", "", *(".2f" if name.startswith("PSNR") else ".4f" for name in METRICS)]
    return tabulate(rows, headers=["image", "", *METRICS], tablefmt="github", floatfmt=formats)


def comparison_picture(images: list[Compared], path: Path) -> None:
    """Write ``path`` (PNG): LR, all results and ground truth of each image side by side.

    Below each image is an enlarged crop of where bicubic and the tested network differ most.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = 2 + max(len(image.results) for image in images)
    shapes = [image.gt.shape for image in images]
    heights = [h for shape in shapes for h in (_PANEL_WIDTH * shape[0] / shape[1], _PANEL_WIDTH)]
    size = (_PANEL_WIDTH * columns + 0.3, sum(heights) + 0.45 * len(heights))
    figure = Figure(figsize=size, dpi=_DPI, layout="compressed")
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for number, image in enumerate(images):
        bicubic, network, *_ = image.results.values()
        top, left, side = where_they_differ_most(bicubic, network)
        nearest = image.lq.repeat(image.scale, axis=0).repeat(image.scale, axis=1)
        versions = {
            f"LR (1/{image.scale})": nearest,
            **{
                f"{label}, {image.metrics[label]['PSNR']:.2f} dB": result
                for label, result in image.results.items()
            },
            "ground truth": image.gt,
        }
        for column, (caption, version) in enumerate(versions.items()):
            whole, zoomed = axes[2 * number][column], axes[2 * number + 1][column]
            whole.imshow(version, interpolation="none")
            whole.set_title(caption, fontsize=11)
            whole.add_patch(
                Rectangle((left, top), side, side, fill=False, edgecolor="#ffd400", linewidth=1.5)
            )
            zoomed.imshow(version[top : top + side, left : left + side], interpolation="none")
        axes[2 * number][0].set_ylabel(image.name, fontsize=11)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight", pad_inches=0.1)
