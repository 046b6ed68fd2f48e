"""Tiny training runs for tests: an LMDB of noise images, an option file, `train.py` in-process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml

from lrfdn_arch.commands.train import main
from lrfdn_arch.data import ppm
from lrfdn_arch.prepare.writers import LmdbWriter

COUNT = 6


def make_images(folder: Path, count: int = COUNT, side: int = 24) -> None:
    """Write HR.lmdb, LR.lmdb (x2, ``side`` pixels) and folders HR, LR of the same images."""
    rng = np.random.default_rng(0)
    with (
        LmdbWriter(folder / "HR.lmdb", {"test": 1}) as hr_writer,
        LmdbWriter(folder / "LR.lmdb", {"test": 1}) as lr_writer,
    ):
        for number in range(count):
            hr = rng.integers(0, 256, (2 * side, 2 * side, 3), dtype=np.uint8)
            lr = hr.reshape(side, 2, side, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
            for name, image in (("HR", hr), ("LR", lr)):
                (folder / name).mkdir(exist_ok=True)
                cv2.imwrite(str(folder / name / f"{number:04}.png"), image[..., ::-1])
            for writer, image in ((hr_writer, hr), (lr_writer, lr)):
                writer.put(f"{number:04}", ppm.encode(image), image.shape, extension="ppm")
        hr_writer.publish()
        lr_writer.publish()


def options(data: Path, **changes: Any) -> dict[str, Any]:
    """Return a tiny option file as a dict; ``changes`` are like ``train__ema_decay=0.9``."""
    pair = {"dataroot_gt": str(data / "HR.lmdb"), "dataroot_lq": str(data / "LR.lmdb")}
    result: dict[str, Any] = {
        "name": "run",
        "model_type": "LRFDNModel",
        "scale": 2,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {
            "train": {
                "name": "noise",
                "type": "PairedLMDBDataset",
                **pair,
                "io_backend": {"type": "lmdb"},
                "gt_size": 32,
                "use_hflip": True,
                "use_rot": True,
                "batch_size_per_gpu": 4,
                "num_worker_per_gpu": 0,
                "output": "uint8",
            },
            "val": {
                "name": "noise_val",
                "type": "PairedLMDBDataset",
                **pair,
                "io_backend": {"type": "lmdb"},
            },
        },
        "network_g": {"type": "LRFDN", "num_feat": 8, "num_block": 1, "upscale": 2},
        "path": {},
        "train": {
            "total_iter": 8,
            "warmup_iter": -1,
            "ema_decay": 0.9,
            "optim_g": {"type": "Adam", "lr": 0.002},
            "scheduler": {"type": "CosineAnnealingRestartLR", "periods": [1000]},
            "pixel_opt": {"type": "L1Loss"},
        },
        "val": {
            "val_freq": 4,
            "save_img": False,
            "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 2}},
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 4, "use_tb_logger": False},
    }
    for path, value in changes.items():
        *sections, key = path.split("__")
        section = result
        for name in sections:
            section = section[name]
        section[key] = value
    return result


def folders(data: Path, phase: str = "train") -> dict[str, Any]:
    """Return ``changes`` that read BasicSR's own dataset from folders of PNG files."""
    return {
        f"datasets__{phase}__type": "PairedImageDataset",
        f"datasets__{phase}__dataroot_gt": str(data / "HR"),
        f"datasets__{phase}__dataroot_lq": str(data / "LR"),
        f"datasets__{phase}__io_backend": {"type": "disk"},
        f"datasets__{phase}__output": None,
    }


def write(opt: Mapping[str, Any], file: Path) -> Path:
    """Write ``opt`` as an option file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(dict(opt), sort_keys=False))
    return file


def run(opt: Mapping[str, Any], root: Path, *arguments: str) -> int:
    """Run the training command on ``opt`` with ``root`` as the project; returns the exit code."""
    file = write(opt, root / "options_of_test.yml")
    return main(["-opt", str(file), *arguments], root=root)


def weights(root: Path, iteration: int | str, name: str = "run") -> dict[str, torch.Tensor]:
    """Return a checkpoint's weights under names like ``params.B1.cw``."""
    path = root / "experiments" / name / "models" / f"net_g_{iteration}.pth"
    content = torch.load(path, weights_only=True)
    states = {key: state for key, state in content.items() if key != "network_g"}
    return {f"{key}.{n}": w for key, state in states.items() for n, w in state.items()}


def differing(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of weights that are not equal bit for bit."""
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]
