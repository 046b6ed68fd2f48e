"""Greedy averaging of the weights of several runs or checkpoints (model soups)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lrfdn_arch.evaluation.image_set import ImageSet, samples
from lrfdn_arch.evaluation.measure import averages, measure, through_network
from lrfdn_arch.evaluation.metrics import challenge_metrics
from lrfdn_arch.weights import LoadedNetwork, load_network


@dataclass(frozen=True)
class Ingredient:
    """A weights file that was tried in the average, and whether it was kept.

    ``alone`` is its metric, ``together`` that of its average with the files kept before it.
    """

    file: Path
    alone: float
    together: float
    kept: bool


def greedy_soup(
    files: Sequence[Path],
    images: ImageSet,
    *,
    metric: str = "psnr_y",
    key: str | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[str], None] = lambda _: None,
) -> tuple[LoadedNetwork, list[Ingredient]]:
    """Average weights greedily (Wortsman et al., "Model soups", ICML 2022).

    Files are tried from best to worst, and each is kept if the unweighted average of all kept files
    does not score worse on ``images``. The result is therefore at least as good on these images as
    the best file.

    Args:
        files: at least two weights files of the same network.
        images: validation images with ground truth; report results on other images.
        metric: "psnr_y" or "psnr_rgb", excluding ``scale`` border pixels on each side.
        key: "params" or "params_ema" of training checkpoints.
        device: device to evaluate on.
        on_step: called before each evaluation with a description of it.

    Returns:
        The averaged network on the CPU, and all files in the order they were tried.

    Raises:
        ValueError: the networks differ, or the images lack ground truth.
    """
    if len(files) < 2:
        raise ValueError("a soup needs at least two weights files")
    if not images.has_hr:
        raise ValueError(f"{images.name} has no ground truth, which the metric needs")
    loaded = [load_network(file, key) for file in files]
    for file, other in zip(files, loaded, strict=True):
        if other.options() != loaded[0].options():
            raise ValueError(
                f"expected equal networks, got {other} in {file} and {loaded[0]} in {files[0]}"
            )
    states = [network.network.state_dict() for network in loaded]
    network, scale = deepcopy(loaded[0].network).to(device), loaded[0].scale
    upscale = through_network(network, scale=scale, channels=loaded[0].channels)
    metrics = {metric: challenge_metrics(scale, ssim=False)[metric]}

    def judge(step: str, numbers: Sequence[int]) -> float:
        on_step(step)
        network.load_state_dict(mean_state(states[number] for number in numbers))
        pairs = samples(images.pairs, scale)
        return averages(measure(upscale, pairs, metrics, device=device))[metric]

    alone = [judge(str(file), [number]) for number, file in enumerate(files)]
    order = sorted(range(len(files)), key=lambda number: alone[number], reverse=True)
    kept, best = order[:1], alone[order[0]]
    tried = [Ingredient(files[order[0]], best, best, kept=True)]
    for number in order[1:]:
        together = judge(f"average with {files[number]}", [*kept, number])
        is_kept = together >= best
        tried.append(Ingredient(files[number], alone[number], together, is_kept))
        if is_kept:
            kept, best = [*kept, number], together
    network.load_state_dict(mean_state(states[number] for number in kept))
    return replace(loaded[0], network=network.cpu()), tried


def mean_state(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each floating-point tensor; others are taken from the first state."""
    states = list(states)
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }
