"""``--force_yml a:b=value``: single options set on the command line."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from lrfdn_arch.options.faults import Fault, KeyPath, OptionsError
from lrfdn_arch.options.yaml_file import read_value

SOURCE = "--force_yml"


def apply_overrides(
    data: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[KeyPath, int | str]]:
    """Return a copy of ``data`` with ``overrides`` in it, and the key paths they set.

    Raises:
        OptionsError: one is not of the form ``a:b=value``, or goes through something that has no
            keys.
    """
    data = deepcopy(data)
    origins: dict[KeyPath, int | str] = {}
    faults: list[Fault] = []
    for override in overrides:
        try:
            key, value = _parse(override)
            _set(data, key, value)
            origins[key] = SOURCE
        except ValueError as error:
            faults.append(Fault((override,), str(error)))
    if faults:
        raise OptionsError(SOURCE, faults)
    return data, origins


def _parse(override: str) -> tuple[KeyPath, Any]:
    path, equals, value = override.partition("=")
    key = tuple(part.strip() for part in path.split(":"))
    if not equals or not all(key):
        raise ValueError("expected key:key=value, for example train:optim_g:lr=1e-4")
    return key, read_value(value.strip())


def _set(data: dict[str, Any], key: KeyPath, value: Any) -> None:
    section: Any = data
    for number, part in enumerate(key[:-1]):
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise ValueError(
                f"{':'.join(map(str, key[: number + 1]))} is {section!r}, not a section"
            )
    section[key[-1]] = value
