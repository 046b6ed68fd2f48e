"""Weights into a network: every name and shape equal, in the network's own ``img_range``."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lrfdn_arch.weights.identify import identify
from lrfdn_arch.weights.img_range import read_state_for


def load_into(network: nn.Module, path: str | Path, key: str | None = None) -> None:
    """Load the weights in ``path`` into ``network``, every name and shape equal.

    Files that say their ``img_range`` are brought to the network's (``read_state_for``).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as ``read_state_for``, or the weights are another network's; the message
            says what differs and what the file seems to hold. The network is then unchanged.
    """
    load_state(network, read_state_for(network, path, key), path)


def load_state(network: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load ``state``, read from ``path``, as :func:`load_into` does.

    Raises:
        ValueError: the weights are another network's.
    """
    differences = _differences(network.state_dict(), state)
    if differences:
        identity = identify(state)
        seems = f"\n  the file seems to hold {identity}" if identity else ""
        raise ValueError(
            f"{path} does not fit {type(network).__name__} as it was built:\n  "
            + "\n  ".join(differences)
            + seems
            + "\n  give the file of this network, or change network_g (type, num_feat, num_block, "
            "upscale) to the file's"
        )
    network.load_state_dict(dict(state))


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    shapes = [
        f"{name} expected {tuple(expected[name].shape)}, found {tuple(found[name].shape)}"
        for name in expected
        if name in found and expected[name].shape != found[name].shape
    ]
    kinds = (("missing", missing), ("not expected", unexpected), ("of another shape", shapes))
    return [f"{len(names)} {kind}: {_first_few(names)}" for kind, names in kinds if names]


def _first_few(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
