"""Reading YAML safely: numbers of YAML 1.2, no double keys, a line for every key, bounded size."""

import re
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from lrfdn_arch.options.faults import Fault, KeyPath, OptionsError

Lines = dict[KeyPath, int | str]
MAX_BYTES = 2**20
MAX_VALUES = 100_000  # with aliases expanded; the largest option files have a few hundred


class _Loader(yaml.SafeLoader):
    """Text, numbers, true and false, null, lists and sections, and nothing else.

    Numbers are those of YAML 1.2, as in other readers: in PyYAML's 1.1 ``1e-4`` is text, ``010``
    is 8, ``1:30`` is 90 and ``2024-11-22`` a date.
    """


_TAG = "tag:yaml.org,2002:"
_KINDS = ("null", "bool", "int", "float", "str", "seq", "map")
_NUMBERS = {
    "int": r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$",
    "float": r"^([-+]?((\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+"
    r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$",
}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in _KINDS
}
_Loader.yaml_implicit_resolvers = {
    first: [(t, r) for t, r in rest if t.removeprefix(_TAG) not in (*_NUMBERS, "timestamp")]
    for first, rest in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list("-+.0123456789"))


def read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """Return what ``path`` contains and the line, from 1, of every key path.

    Raises:
        OSError: it does not exist or cannot be read.
        OptionsError: it is too large, not YAML or not a mapping, or contains a key twice, numbers
            that are not finite, or Python objects.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"expected an option file, found more than {MAX_BYTES:,} bytes")
        data, lines, faults = _parse(content.decode())
        if not isinstance(data, dict) and not faults:
            raise ValueError(f"expected keys and values such as 'name: my_run', found {data!r}")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such option file; `lrfdn recipes` lists those that come with the package"
        ) from None
    except ValueError as error:
        raise OptionsError(str(path), [Fault((), str(error))]) from None
    if faults:
        raise OptionsError(str(path), faults, lines)
    return data, lines


def read_value(text: str) -> Any:
    """Return the value ``text`` would have in an option file; text as it is if it is not YAML.

    Raises:
        ValueError: it would not be valid there.
    """
    try:
        yaml.compose(text, _Loader)
    except (yaml.MarkedYAMLError, RecursionError):
        return text
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise ValueError(_syntax_fault(error)) from None
    value, _, faults = _parse(text)
    if faults:
        raise ValueError(faults[0].describe())
    return value


def _parse(text: str) -> tuple[Any, Lines, list[Fault]]:
    """Return the value of ``text``, the lines of its keys, and its faults.

    Every part is looked at before it is constructed. Faults are keys that are there twice and
    scalars that are not valid; with any the value is None.

    Raises:
        ValueError: it is not YAML, or has too many values.
    """
    lines: Lines = {}
    faults: list[Fault] = []
    values = count(1)

    def check(loader: _Loader, node: yaml.Node, key: KeyPath) -> None:
        if next(values) > MAX_VALUES:
            raise ValueError(f"contains more than {MAX_VALUES:,} values, aliases (*) expanded")
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                inner = (*key, str(key_node.value))
                if inner in lines:
                    faults.append(Fault(inner, f"is there twice, first in line {lines[inner]}"))
                lines[inner] = key_node.start_mark.line + 1
                check(loader, value_node, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value_node in enumerate(node.value):
                check(loader, value_node, (*key, number))
        else:
            try:
                value = loader.construct_object(node)
                if isinstance(value, float) and not isfinite(value):
                    raise ValueError(f"expected a finite number, found {value}")
            except ValueError as error:  # also of a tag: !!float abc
                faults.append(Fault(key, str(error)))

    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            check(loader, node, ())
        value = None if node is None or faults else loader.construct_document(node)
    except RecursionError:
        raise ValueError("is nested too deeply, or an anchor (&) contains itself (*)") from None
    except yaml.YAMLError as error:
        raise ValueError(_syntax_fault(error)) from None
    return value, lines, faults


def _syntax_fault(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"is not YAML: {error}"
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    if tag := re.search(r"constructor for the tag '([^']+)'", str(error.problem)):
        found = tag.group(1).replace(_TAG, "!!")
        code = "cannot run code" if "python/" in found else "have no such tag"
        return f"{where}option files {code}: {found}"
    context = f" {error.context}" if error.context else ""
    return f"{where}is not YAML: {error.problem}{context}"
