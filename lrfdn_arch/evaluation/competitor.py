"""Networks to evaluate, given on the command line as ``LABEL=FILE``."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lrfdn_arch.archs.lookup import ARCHITECTURES, RELEASED
from lrfdn_arch.evaluation.results import Weights, check_label
from lrfdn_arch.weights import LoadedNetwork, find_weights, load_network


@dataclass(frozen=True)
class Competitor:
    """A network that is ready for evaluation, and its label in the results.

    The module maps (N, 3, H, W) in [0, data_range] to (N, 3, H*scale, W*scale), as in the
    challenge's kits: converting the input of a [0, 255] network to [0, 1] first would change its
    last bit. ``data_range`` is that of the weights if the network rescales its input, else 1.
    """

    label: str
    loaded: LoadedNetwork
    data_range: float
    weights: Weights

    @property
    def network(self) -> nn.Module:
        """The module."""
        return self.loaded.network

    @property
    def scale(self) -> int:
        """The upscaling factor."""
        return self.loaded.scale


def load_competitors(
    specs: Sequence[str], key: str | None = None, network_g: Mapping[str, Any] | None = None
) -> list[Competitor]:
    """Load the networks of ``specs``, in the order they are reported in.

    Raises:
        ValueError: a label is used twice, or the scales differ.
    """
    competitors = [load_competitor(spec, key, network_g) for spec in specs]
    labels = [competitor.label for competitor in competitors]
    if len(set(labels)) != len(labels):
        raise ValueError(f"networks need different labels, got {', '.join(labels)}; use LABEL=FILE")
    if len({competitor.scale for competitor in competitors}) > 1:
        scales = ", ".join(f"{c.label} x{c.scale}" for c in competitors)
        raise ValueError(f"all networks of an evaluation must have the same scale, got {scales}")
    return competitors


def load_competitor(
    spec: str, key: str | None = None, network_g: Mapping[str, Any] | None = None
) -> Competitor:
    """Load one network.

    Args:
        spec: ``LABEL=FILE`` or just ``FILE``, which may be the name of shipped weights.
        key: ``params`` or ``params_ema`` of a training checkpoint, see ``read_state_dict``.
        network_g: network section for files that do not contain one and are not recognized.

    Raises:
        ValueError: the network does not process RGB images, or its label is the name of another
            network.
    """
    label, separator, file = spec.partition("=")
    path = find_weights(file if separator else spec)
    loaded = load_network(path, key, network_g)
    name = loaded.architecture.name
    if loaded.channels != 3:
        raise ValueError(f"{path}: {loaded} has {loaded.channels} channels, expected 3 (RGB)")
    label = check_label(label if separator else name)
    if label in ARCHITECTURES and label != name:
        raise ValueError(
            f"--model {spec}: the file contains {loaded}, not {label}; choose another file or "
            "another label"
        )
    data_range = 1.0
    if loaded.architecture.range_layers is not None:
        network: Any = loaded.network
        data_range, network.img_range = float(network.img_range), 1.0
    return Competitor(label, loaded, data_range, weights_record(path, key))


def weights_record(path: Path, key: str | None) -> Weights:
    """Return the record of a weights file that is stored in the results."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    released = RELEASED.get(sha256)
    source = released[1].source if released else None
    return Weights(file=path.name, sha256=sha256, key=key, released=source)
