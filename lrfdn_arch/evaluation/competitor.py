"""A network with its weights as the command line names it: ``LABEL=file.pth``."""

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
    """A network ready to be judged.

    Attributes:
        label: what results call it.
        loaded: the network; its module maps (N, 3, H, W) in [0, data_range] to
            (N, 3, H*scale, W*scale), as the challenge's kits run it. Through [0, 1] the input of a
            network of [0, 255] would be rounded differently in the last bit.
        data_range: the range the weights work in, where the network scales by nothing else; or 1.
        weights: the file.
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
        """How much larger its output is than its input."""
        return self.loaded.scale


def load_competitors(
    specs: Sequence[str], key: str | None = None, network_g: Mapping[str, Any] | None = None
) -> list[Competitor]:
    """Load the networks of ``specs``, each ``LABEL=FILE`` or just ``FILE``.

    ``FILE`` may be the name of shipped weights.

    Args:
        specs: in the order of the report.
        key: ``params`` or ``params_ema`` of a training checkpoint, see ``read_state_dict``.
        network_g: for files that do not contain theirs and are not recognized.

    Raises:
        FileNotFoundError: a weights file is missing.
        ValueError: a label is used twice or cannot name a folder, a file is damaged or its network
            is not known or not the one its label names, or the scales differ.
    """
    competitors = [load_competitor(spec, key, network_g) for spec in specs]
    labels = [competitor.label for competitor in competitors]
    if len(set(labels)) != len(labels):
        raise ValueError(f"networks need different labels, got {', '.join(labels)}: LABEL=FILE")
    if len({competitor.scale for competitor in competitors}) > 1:
        scales = ", ".join(f"{c.label} x{c.scale}" for c in competitors)
        raise ValueError(f"networks of one evaluation need the same scale, got {scales}")
    return competitors


def load_competitor(
    spec: str, key: str | None = None, network_g: Mapping[str, Any] | None = None
) -> Competitor:
    """Load one network of :func:`load_competitors`."""
    label, separator, file = spec.partition("=")
    path = find_weights(file if separator else spec)
    loaded = load_network(path, key, network_g)
    name = loaded.architecture.name
    if loaded.channels != 3:
        raise ValueError(f"{path} holds {loaded} for {loaded.channels} channels; RGB is judged")
    label = label if separator else name
    check_label(label)
    if label in ARCHITECTURES and label != name:
        raise ValueError(
            f"--model {spec}: the file holds {loaded}, not {label}; give the other file or "
            "another label"
        )
    return Competitor(label, loaded, _move_to_own_range(loaded), weights_record(path, key))


def weights_record(path: Path, key: str | None) -> Weights:
    """Return what results hold of a weights file."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    released = RELEASED.get(sha256)
    source = released[1].source if released else None
    return Weights(file=path.name, sha256=sha256, key=key, released=source)


def _move_to_own_range(loaded: LoadedNetwork) -> float:
    """Let the network map [0, data_range] to [0, data_range] and return that range."""
    if loaded.architecture.range_layers is None:
        return 1.0
    network: Any = loaded.network
    data_range, network.img_range = float(network.img_range), 1.0
    return data_range
