"""Options that come through BasicSR's own reader, which leaves ``1e-4`` a string."""

import re
from collections.abc import Mapping
from typing import Any

from lrfdn_arch.options.training import Train

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def train_section(section: Mapping[str, Any]) -> Train:
    """Return the checked ``train`` section of a plain option dict, BasicSR's or ours.

    Raises:
        ValueError: it does not hold what :class:`Train` asks for.
    """
    return Train.model_validate(_with_numbers(section))


def _with_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _with_numbers(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_numbers(v) for v in value]
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value
