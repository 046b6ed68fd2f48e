"""What the benchmarks of training share: an LMDB pair per codec, option files for both loops."""

from pathlib import Path
from typing import Any

import yaml
from common import photographs, write_pngs

from lrfdn_arch.prepare.packing import PackOptions, Target, pack

SCALE = 4


def make_lmdbs(root: Path, count: int, codecs: tuple[str, ...] = ("ppm", "png")) -> None:
    """Pack ``count`` images of 2040x1404 and their LR counterparts into ``root``."""
    paths = write_pngs(photographs(count), root / "images")
    for codec in codecs:
        targets = [Target(root / f"{codec}_HR.lmdb"), Target(root / f"{codec}_LR.lmdb", SCALE)]
        pack(paths, targets, PackOptions(codec, multiple=12))


def option_file(
    root: Path,
    name: str,
    *,
    codec: str,
    gt_size: int,
    batch: int,
    workers: int,
    total: int,
    **top: Any,
) -> Path:
    """Write an option file for LRFDN x4 that both loops read; ``top`` are keys of the top level.

    Without ``model_type`` it is BasicSR's SRModel on its PairedImageDataset.
    """
    dataset = "PairedLMDBDataset" if top.get("model_type") == "LRFDNModel" else "PairedImageDataset"
    train = {
        "name": "bench",
        "type": dataset,
        "dataroot_gt": str(root / f"{codec}_HR.lmdb"),
        "dataroot_lq": str(root / f"{codec}_LR.lmdb"),
        "io_backend": {"type": "lmdb"},
        "gt_size": gt_size,
        "use_hflip": True,
        "use_rot": True,
        "batch_size_per_gpu": batch,
        "num_worker_per_gpu": workers,
        "dataset_enlarge_ratio": 1000,
    }
    if dataset == "PairedLMDBDataset":
        train["output"] = "uint8"
    opt = {
        "name": name,
        "model_type": "SRModel",
        "scale": SCALE,
        "manual_seed": 0,
        "datasets": {"train": train},
        "network_g": {"type": "LRFDN", "upscale": SCALE},
        "path": {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None},
        "train": {
            "total_iter": total,
            "warmup_iter": -1,
            "ema_decay": 0.999,
            "optim_g": {"type": "Adam", "lr": 0.0005, "betas": [0.9, 0.999]},
            "scheduler": {"type": "CosineAnnealingRestartLR", "periods": [54000]},
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 10, "save_checkpoint_freq": 10**6, "use_tb_logger": False},
    } | top
    file = root / f"{name}.yml"
    file.write_text(yaml.safe_dump(opt, sort_keys=False))
    return file
