"""A network with its weights as the command line names it: ``LABEL=file.pth``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from lrfdn_arch import archs
from lrfdn_arch.evaluation.released import RELEASED, sha256_of
from lrfdn_arch.evaluation.results import REFERENCES, Weights
from lrfdn_arch.weights import (
    Identity,
    find_weights,
    identify,
    load_state,
    read_usual_state,
    usual_img_range,
)

_SAFE_LABEL = re.compile(r"[\w][\w.+-]*")  # it names a folder of images
NETWORKS = {"LRFDN": archs.LRFDN, "RFDN": archs.RFDN}


@dataclass(frozen=True)
class Competitor:
    """A network ready to be judged.

    Attributes:
        label: what results call it.
        identity: its class and sizes.
        network: on the CPU, in evaluation mode; maps (N, 3, H, W) in [0, data_range] to
            (N, 3, H*scale, W*scale).
        data_range: the range the weights work in, as the kit feeds it.
        weights: the file.
    """

    label: str
    identity: Identity
    network: nn.Module
    data_range: float
    weights: Weights

    @property
    def scale(self) -> int:
        """How much larger its output is than its input."""
        return self.identity.upscale


def load_competitors(specs: Sequence[str], key: str | None = None) -> list[Competitor]:
    """Load the networks of ``specs``, each ``LABEL=FILE`` or just ``FILE``.

    ``FILE`` may be the name of shipped weights.

    Args:
        specs: in the order of the report.
        key: ``params`` or ``params_ema`` of a training checkpoint, see ``read_state_dict``.

    Raises:
        FileNotFoundError: a weights file is missing.
        ValueError: a label is twice there or no file name, a file is damaged or of a network that
            is not ours or not the one its label says, or the scales differ.
    """
    competitors = [load_competitor(spec, key) for spec in specs]
    labels = [competitor.label for competitor in competitors]
    if len(set(labels)) != len(labels):
        raise ValueError(f"networks need different labels, got {', '.join(labels)}: LABEL=FILE")
    if len({competitor.scale for competitor in competitors}) > 1:
        scales = ", ".join(f"{c.label} x{c.scale}" for c in competitors)
        raise ValueError(f"networks of one evaluation need the same scale, got {scales}")
    return competitors


def load_competitor(spec: str, key: str | None = None) -> Competitor:
    """Load one network of :func:`load_competitors`."""
    label, separator, file = spec.partition("=")
    path = find_weights(file if separator else spec)
    state = read_usual_state(path, key)
    identity = _identify(state, path)
    label = label if separator else identity.network
    if not _SAFE_LABEL.fullmatch(label) or label in REFERENCES:
        raise ValueError(
            f"{label!r} cannot be a network's label: use letters, digits, '.', '_', '+' and '-', "
            f"and none of {', '.join(REFERENCES)}"
        )
    if label in NETWORKS and label != identity.network:
        raise ValueError(
            f"--model {spec}: the file holds {identity}, not {label}; give the other file or "
            "another label"
        )
    network = build(identity)
    load_state(network, state, path)
    sha256 = sha256_of(path)
    released = RELEASED.get(sha256)
    weights = Weights(
        file=path.name, sha256=sha256, key=key, released=released.source if released else None
    )
    return Competitor(label, identity, network.eval(), data_range_of(identity), weights)


def build(identity: Identity) -> nn.Module:
    """Return the network on its weights' own range, [0, data_range] in and out, as the kit has it.

    Going through [0, 1] instead would round the input of RFDN differently in the last bit.
    """
    arguments = identity.options()
    network = NETWORKS[arguments.pop("type")](**arguments, img_range=1.0)
    return network.requires_grad_(False)


def data_range_of(identity: Identity) -> float:
    """Return the range that networks of this class are trained in: their ``img_range``."""
    return usual_img_range(identity.network)


def _identify(state: Mapping[str, Tensor], path: Path) -> Identity:
    identity = identify(state)
    if identity is None:
        raise ValueError(f"{path} holds neither LRFDN nor RFDN; only these can be judged here")
    if identity.num_in_ch != 3:
        raise ValueError(
            f"{path} holds {identity} for {identity.num_in_ch} channels; RGB is judged"
        )
    return identity
