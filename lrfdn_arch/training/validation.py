"""Validating a model under training: which of its weights, in which precision, saving what."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from lrfdn_arch.device import memory_errors
from lrfdn_arch.evaluation.measure import (
    averages,
    from_all_processes,
    measure,
    samples_of,
    save_under,
)
from lrfdn_arch.evaluation.metrics import basicsr_metrics
from lrfdn_arch.evaluation.upscaling import Upscale, has_own_test, through_model, through_network
from lrfdn_arch.options.root import Val
from lrfdn_arch.training.checkpoint import networks_of

BestMetrics = dict[str, dict[str, dict[str, Any]]]  # dataset -> metric -> {"val": 31.2, "iter": 5}


def update_best(
    best: BestMetrics, dataset: str, averages: Mapping[str, float], val: Val, iteration: int
) -> bool:
    """Record averages that are the best so far, and return whether the deciding one is."""
    metrics, records, improved = val.metrics or {}, best.setdefault(dataset, {}), set()
    for metric, value in averages.items():
        sign = 1 if metrics[metric].better == "higher" else -1
        before = records[metric]["val"] if metric in records else -sign * math.inf
        if sign * value > sign * before:  # NaN never is
            records[metric] = {"val": value, "iter": iteration}
            improved.add(metric)
    return (val.best_metric or next(iter(metrics), None)) in improved


def validate_model(
    model: Any,
    loader: DataLoader,
    opt: Mapping[str, Any],
    val: Val,
    ending: str,
    show: Callable[[str], None],
) -> dict[str, dict[str, float]]:
    """Measure a model's networks on the images of ``loader``, in full float32 unless asked.

    Args:
        model: a BasicSR model with ``net_g`` and maybe ``net_g_ema``.
        loader: one image at a time, this process's part.
        opt: the options as BasicSR's dict.
        val: its ``val`` section.
        ending: appended to the names of saved images.
        show: takes a line of progress.

    Returns:
        Averages by metric, for ``ema`` (first, where there is one) and ``raw``.

    Raises:
        ValueError: memory ran out, or the images do not fit each other.
    """
    results: dict[str, dict[str, float]] = {}
    images = Path(opt["path"]["visualization"]) / "{name}"
    metrics = basicsr_metrics(opt["val"].get("metrics") or {})
    for kind, upscale in _functions(model, opt["scale"], val):
        lines = map(f"validating {kind}: {{}}/{len(loader)} images".format, count(1))
        try:
            with memory_errors():
                measured = measure(
                    upscale,
                    samples_of(loader),
                    metrics,
                    device=model.device,
                    save=save_under(images, ending) if val.save_img and not results else None,
                    on_image=lambda _, lines=lines: show(next(lines)),
                )
        except MemoryError as error:
            raise ValueError(
                f"memory ran out in validation ({error}); cut the images into tiles with "
                "--force_yml val:tile_size=256"
            ) from error
        results[kind] = averages(from_all_processes(measured))
    return results


def _functions(model: Any, scale: int, val: Val) -> Iterator[tuple[str, Upscale]]:
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
    for kind, name in (("ema", "net_g_ema"), ("raw", "net_g")):
        if name in networks and val.weights in (kind, "both", None):
            with _evaluating(networks[name]):
                upscale = through_network(
                    networks[name],
                    scale=scale,
                    autocast=model.precision.autocast if val.use_amp else None,
                    tile_size=val.tile_size,
                    tile_overlap=val.tile_overlap,
                )
                yield kind, upscale


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and no compilation: every image has another size."""
    was_training = network.training
    network.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        network.train(was_training)
