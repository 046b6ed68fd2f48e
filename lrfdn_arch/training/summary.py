"""A run in a few lines before it starts, and option files that repeat and test it."""

from collections.abc import Sized
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from lrfdn_arch.device import device_name
from lrfdn_arch.files import write_whole
from lrfdn_arch.options import Placement, TrainOptions
from lrfdn_arch.training.loader import global_batch

# What a test needs of a training's options, and of each of its validation sets.
_OPTIONS: Any = dict.fromkeys(("name", "imports", "model_type", "scale", "num_gpu"), True)
_OPTIONS |= {"network_g": True, "val": {"metrics", "tile_size", "tile_overlap"}}
_DATASET = {"name", "type", "dataroot_gt", "dataroot_lq", "io_backend", "filename_tmpl"}
_DATASET |= {"meta_info_file", "color"}


def start_summary(
    options: TrainOptions, placement: Placement, model: Any, dataset: Sized, start: int
) -> str:
    """Return lines on the data, network, device, batch and length of a run."""
    train, total = options.train_set, options.train.total_iter
    batch = global_batch(options, placement)
    parts = f" in {train.accum_iter} parts" if train.accum_iter > 1 else ""
    processes = f" over {placement.world_size} processes" if placement.world_size > 1 else ""
    source = f"{train.num_worker_per_gpu} workers per process"
    if train.resident:
        source = f"images in the memory of {model.device}"
    patch = f", HR patches of {train.gt_size}" if train.gt_size else ""
    begin = f", resuming after iteration {start:,}" if start else ""
    lines = {
        "data": f"{train.name}, {len(dataset):,} images{patch}, x{options.scale}",
        "network": _network(options, model.get_bare_model(model.net_g)),
        "device": f"{device_name(model.device)}, {getattr(model, 'precision', 'float32')}",
        "batch": f"{batch}{parts}{processes}, {source}",
        "length": f"{total:,} iterations = {total * batch / len(dataset):,.1f} epochs{begin}",
    }
    return "\n".join(f"{name:8} {text}" for name, text in lines.items())


def _network(options: TrainOptions, network: nn.Module) -> str:
    from lrfdn_arch.evaluation.complexity import count

    name = f"{options.network_g.type}, {sum(p.numel() for p in network.parameters()):,} parameters"
    channels = options.network_g.arguments().get("num_in_ch", 3)
    try:
        flops = count(network, (channels, 256, 256)).flops_2023
    except (RuntimeError, TypeError) as error:
        return f"{name} (FLOPs not counted: {error})"
    return f"{name}, {flops / 1e9:.3f} GFLOPs (2023 counter, {channels}x256x256)"


def write_options(options: TrainOptions, path: Path) -> None:
    """Write ``options`` with overrides and defaults filled in."""
    _write(
        options.model_dump(mode="json"), "options of this run, with overrides and defaults", path
    )


def write_test_file(options: TrainOptions, weights: Path, path: Path) -> bool:
    """Write an option file for ``lrfdn test``: ``weights`` on the validation sets of ``options``.

    Returns False if there are none, and no file is written.
    """
    content = options.model_dump(mode="json", include=_OPTIONS)
    content["datasets"] = {
        f"test_{number}": options.datasets[phase].model_dump(
            mode="json", include=_DATASET, exclude_none=True
        )
        for number, phase in enumerate(options.phases("val"), start=1)
    }
    if not content["datasets"]:
        return False
    content["path"] = {"pretrain_network_g": str(weights)}
    if options.val is not None:
        content["val"]["save_img"] = True
    _write(content, "tests the weights of this run", path)
    return True


def _write(content: dict[str, Any], comment: str, path: Path) -> None:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    write_whole(path, f"# {comment}\n{text}".encode())
