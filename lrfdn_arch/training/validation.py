"""Validating a model under training: which of its weights, in which precision, saving what."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from lrfdn_arch.device import evaluating, memory_errors
from lrfdn_arch.evaluation.measure import (
    Upscale,
    averages,
    from_all_processes,
    has_own_test,
    measure,
    samples_of,
    save_under,
    through_model,
    through_network,
)
from lrfdn_arch.evaluation.metrics import basicsr_metrics
from lrfdn_arch.options.root import Val
from lrfdn_arch.training.checkpoint import networks_of

Show = Callable[[str], None]
Averages = dict[str, dict[str, float]]  # kind of weights (ema, raw) -> metric -> mean
Records = dict[str, dict[str, Any]]  # metric -> {"val": 31.2, "iter": 5}, its best so far


def update_best(records: Records, averages: Mapping[str, float], val: Val, iteration: int) -> bool:
    """Record averages that are the best so far, and return whether the deciding one is."""
    metrics, improved = val.metrics or {}, set()
    for metric, value in averages.items():
        sign = 1 if metrics[metric].better == "higher" else -1
        before = records[metric]["val"] if metric in records else -sign * math.inf
        if sign * value > sign * before:  # NaN never is
            records[metric] = {"val": value, "iter": iteration}
            improved.add(metric)
    return (val.best_metric or next(iter(metrics), None)) in improved


def validate_model(
    model: Any, loader: DataLoader, opt: Mapping[str, Any], iteration: int, show: Show
) -> Averages:
    """Measure ``net_g_ema``, where there is one, and ``net_g`` of any model of BasicSR.

    Args:
        model: computes in full float32 unless ``val: use_amp`` asks for less.
        loader: one image at a time, this process's part.
        opt: the options as BasicSR's dict, with ``val``.
        iteration: the end of the names of saved images.
        show: takes a line of progress.

    Raises:
        ValueError: memory ran out, or the images do not fit each other.
    """
    results: Averages = {}
    metrics, save = basicsr_metrics(opt["val"].get("metrics") or {}), None
    if opt["val"]["save_img"]:
        save = save_under(Path(opt["path"]["visualization"]) / "{name}", str(iteration))
    for kind, upscale in _functions(model, opt["scale"], opt["val"]):
        lines = map(f"validating {kind}: {{}}/{len(loader)} images".format, count(1))
        try:
            with memory_errors():
                images = measure(
                    upscale,
                    samples_of(loader),
                    metrics,
                    device=model.device,
                    save=None if results else save,
                    on_image=lambda _, lines=lines: show(next(lines)),
                )
        except MemoryError as error:
            raise ValueError(
                f"memory ran out in validation ({error}); cut the images into tiles with "
                "--force_yml val:tile_size=256"
            ) from error
        results[kind] = averages(from_all_processes(images))
    return results


def _functions(model: Any, scale: int, val: Mapping[str, Any]) -> Iterator[tuple[str, Upscale]]:
    """Yield what is measured: the networks' weights, or a model's own ``test()``."""
    if has_own_test(type(model)):
        yield ("ema" if hasattr(model, "net_g_ema") else "raw"), through_model(model)
        return
    networks = networks_of(model)
    if "net_g" not in networks:
        raise ValueError(
            f"{type(model).__name__} has no net_g, so this loop cannot validate it; leave out the "
            "val section, or use BasicSR's own train_pipeline"
        )
    settings: dict[str, Any] = {key: val[key] for key in ("tile_size", "tile_overlap")}
    settings["autocast"] = model.precision.autocast if val["use_amp"] else None
    for kind, name in (("ema", "net_g_ema"), ("raw", "net_g")):
        if name in networks and val.get("weights") in (kind, "both", None):
            with evaluating(networks[name]):
                yield kind, through_network(networks[name], scale=scale, **settings)
