"""Tiny training models, their batches and iterations."""

from pathlib import Path
from typing import Any

import torch
from training_runs import options, write

from lrfdn_arch.options import TrainOptions, load_options, to_basicsr


def build_model(folder: Path, **changes: Any) -> Any:
    """Return a tiny model, always with the same weights; its option file is in ``folder``."""
    import basicsr  # noqa: F401
    from basicsr.models import build_model

    data = {"datasets__val__dataroot_gt": "x", "datasets__val__dataroot_lq": "x"}
    file = write(options(folder, **data, **changes), folder / "o.yml")
    opt = to_basicsr(load_options(file, TrainOptions), root=folder)
    torch.manual_seed(0)
    return build_model(opt)


def batch(count: int = 4, seed: int = 1, dtype: torch.dtype = torch.uint8) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    lq = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    gt = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    if dtype != torch.uint8:
        lq, gt = lq.to(dtype) / 255, gt.to(dtype) / 255
    return {"lq": lq, "gt": gt, "lq_path": [f"folder/{i}.png" for i in range(count)]}


def iterate(model: Any, data: dict[str, Any], *iterations: int) -> None:
    for iteration in iterations or (1,):
        model.update_learning_rate(iteration)
        model.feed_data(data)
        model.optimize_parameters(iteration)
