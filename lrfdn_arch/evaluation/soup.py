"""Averages of the weights of several runs or checkpoints, kept where validation gains by them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lrfdn_arch.evaluation.image_set import ImageSet, samples
from lrfdn_arch.evaluation.measure import averages, measure
from lrfdn_arch.evaluation.metrics import challenge_metrics
from lrfdn_arch.evaluation.upscaling import through_network
from lrfdn_arch.weights import LoadedNetwork, load_network

METRICS = ("psnr_y", "psnr_rgb")


@dataclass(frozen=True)
class Ingredient:
    """A file that was tried.

    Attributes:
        file: the weights.
        alone: its own metric.
        together: the metric of the average with those kept before it.
        kept: whether the average was at least as good.
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

    Starting with the best file, each next best one is kept if the equal-weighted average of all
    kept files, measured on ``images``, does not get worse. So the result is at least as good on
    these images as the best file.

    Args:
        files: weights of equal networks, at least two.
        images: for validation, with ground truth; images to report results on should be others.
        metric: of :data:`METRICS`, with as many border pixels cut as the scale.
        key: "params" or "params_ema" of checkpoints.
        device: where to compute.
        on_step: called with what is measured next.

    Returns:
        The averaged network on the CPU, and every file in the order it was tried.

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
            raise ValueError(f"{file} is {other}, {files[0]} is {loaded[0]}: expected equal ones")
    states = [network.network.state_dict() for network in loaded]
    judge = _Judge(loaded[0], images, metric, device)
    alone = []
    for file, state in zip(files, states, strict=True):
        on_step(str(file))
        alone.append(judge(state))
    order = sorted(range(len(files)), key=lambda number: alone[number], reverse=True)
    kept, best = order[:1], alone[order[0]]
    tried = [Ingredient(files[order[0]], best, best, kept=True)]
    for number in order[1:]:
        on_step(f"average with {files[number]}")
        together = judge(mean_state(states[n] for n in (*kept, number)))
        is_kept = together >= best
        tried.append(Ingredient(files[number], alone[number], together, is_kept))
        if is_kept:
            kept, best = [*kept, number], together
    network = deepcopy(loaded[0].network)
    network.load_state_dict(mean_state(states[number] for number in kept))
    return replace(loaded[0], network=network), tried


def mean_state(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each floating-point tensor; others are those of the first state."""
    states = list(states)
    return {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


class _Judge:
    """Measures states of one network on the same images."""

    def __init__(
        self, loaded: LoadedNetwork, images: ImageSet, metric: str, device: torch.device | str
    ) -> None:
        self._network = deepcopy(loaded.network).to(device)
        self._upscale = through_network(self._network, scale=loaded.scale, channels=loaded.channels)
        self._metrics = {metric: challenge_metrics(loaded.scale, ssim=False)[metric]}
        self._images, self._scale, self._device = images, loaded.scale, device

    def __call__(self, state: Mapping[str, Tensor]) -> float:
        """Return the metric's mean over the images."""
        self._network.load_state_dict(state)
        pairs = samples(self._images.pairs, self._scale)
        measured = measure(self._upscale, pairs, self._metrics, device=self._device)
        return next(iter(averages(measured).values()))
