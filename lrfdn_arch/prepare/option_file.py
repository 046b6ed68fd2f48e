"""The option file that trains on the images just prepared."""

import shlex
from pathlib import Path
from typing import Any

import yaml

from lrfdn_arch.data.lmdb_reader import ImageInfo, read_meta_info
from lrfdn_arch.files import write_whole
from lrfdn_arch.options.recipes import FOLDER, find_recipe


def training_command(out: Path, scale: int, recipe: str, *, overwrite: bool = False) -> str:
    """Return the command that trains on the LMDBs in ``out``.

    If these are what ``recipe`` trains on, it is used as it is. Otherwise a copy that is adapted to
    the number, size and channels of the images, and to whether any are held out, is written to
    ``out/train_x<scale>.yml``, unless there is one already.

    Args:
        out: the folder with ``train_HR.lmdb`` and so on.
        scale: which of the LR LMDBs to train on.
        recipe: name of an option file of the package.
        overwrite: replace an existing file.
    """
    data = yaml.safe_load(find_recipe(recipe).read_text(encoding="utf-8"))
    if data["scale"] == scale and data["datasets"] == _datasets(data, out, scale):
        return f"lrfdn train -opt {recipe}"
    file = out / f"train_x{scale}.yml"
    if overwrite or not file.exists():
        infos = read_meta_info(out / "train_HR.lmdb")
        _adapt(data, out, scale, infos)
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        head = f"# yaml-language-server: $schema={(FOLDER / 'schema/train.json').resolve()}\n"
        head += f"# {recipe}, adapted to the {len(infos)} images of {out}\n"
        write_whole(file, f"{head}\n{text}".encode())
    return f"lrfdn train -opt {shlex.quote(str(file))}"


def recipe_for(out: Path) -> str:
    """Return the recipe that suits the images in ``out``: the paper's needs patches of 640."""
    smallest = min(min(info.size) for info in read_meta_info(out / "train_HR.lmdb"))
    return "train_LRFDN_x4_DF2K" if smallest >= 640 else "train_LRFDN_x4_291"


def _datasets(data: dict[str, Any], out: Path, scale: int) -> dict[str, Any]:
    """Return the datasets of ``data``, read from ``out``; without validation if none are there."""
    datasets = {}
    for phase, split in (("train", "train"), ("val", "valid")):
        gt, lq = out / f"{split}_HR.lmdb", out / f"{split}_LR_x{scale}.lmdb"
        if gt.exists():
            roots = {"dataroot_gt": str(gt), "dataroot_lq": str(lq)}
            datasets[phase] = data["datasets"][phase] | roots
    return datasets


def _adapt(data: dict[str, Any], out: Path, scale: int, infos: list[ImageInfo]) -> None:
    """Change recipe ``data`` in place to train on the images ``infos`` in ``out``."""
    name = out.resolve().name.lstrip(".") or "images"
    data |= {"name": f"train_LRFDN_x{scale}_{name}", "scale": scale}
    data["datasets"] = _datasets(data, out, scale)
    for phase, dataset in data["datasets"].items():
        dataset["name"] = name if phase == "train" else f"{name}_{phase}"
    train = data["datasets"]["train"]
    smallest = min(min(info.size) for info in infos)
    train["gt_size"] = min(train["gt_size"], smallest) // scale * scale
    train["dataset_enlarge_ratio"] = -(-train["batch_size_per_gpu"] // len(infos))
    channels = infos[0].channels
    data["network_g"] |= {"upscale": scale, "num_in_ch": channels, "num_out_ch": channels}
    if "val" not in data["datasets"]:
        del data["val"]
        return
    for metric in data["val"]["metrics"].values():
        metric["crop_border"] = scale
