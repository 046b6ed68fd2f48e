"""Reading YAML safely: numbers as everyone writes them, no double keys, a line for every key."""

import re
from pathlib import Path
from typing import Any

import yaml

from lrfdn_arch.options.faults import Fault, KeyPath, OptionsError


class _Loader(yaml.SafeLoader):
    """YAML's safe subset with the numbers of YAML 1.2, as every reader has them.

    In PyYAML's 1.1 ``1e-4`` is text, ``010`` is 8, ``1:30`` is 90 and ``2024-11-22`` a date.
    """


_TAG = "tag:yaml.org,2002:"
_NUMBERS = {
    "int": r"^[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$",
    "float": r"^([-+]?((\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+"
    r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$",
}
_Loader.yaml_implicit_resolvers = {
    first: [(t, r) for t, r in rest if t.removeprefix(_TAG) not in (*_NUMBERS, "timestamp")]
    for first, rest in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list("-+.0123456789"))


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int | str]]:
    """Return what ``path`` holds and the line, from 1, of every key path.

    Raises:
        OSError: there is no such file, or it cannot be read.
        OptionsError: it is not YAML, holds Python objects, a key twice, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such option file; `lrfdn recipes` lists those that come with the package"
        ) from None
    except UnicodeDecodeError as error:
        raise OptionsError(str(path), [Fault((), f"expected UTF-8 text: {error}")]) from None
    lines: dict[KeyPath, int | str] = {}
    faults: list[Fault] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _walk(node, (), lines, faults)
        data = None if node is None else loader.construct_document(node)
    except RecursionError:
        raise OptionsError(str(path), [Fault((), "an anchor (&) holds itself (*)")]) from None
    except ValueError as error:  # of a tag: !!float abc, or a date that is none
        raise OptionsError(str(path), [Fault((), f"holds no such value: {error}")]) from None
    except yaml.MarkedYAMLError as error:
        raise OptionsError(str(path), [_syntax_fault(error)]) from None
    except yaml.YAMLError as error:
        raise OptionsError(str(path), [Fault((), f"is not YAML: {error}")]) from None
    if not isinstance(data, dict):
        fault = Fault((), "expected keys and values such as 'name: my_run'", data)
        raise OptionsError(str(path), [fault])
    if faults:
        raise OptionsError(str(path), faults, lines)
    return data, lines


def read_value(text: str) -> Any:
    """Return the value ``text`` would have in an option file.

    Raises:
        ValueError: it is not YAML.
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        raise ValueError(f"{text!r} is not a YAML value: {problem}") from None


def _walk(
    node: yaml.Node, key: KeyPath, lines: dict[KeyPath, int | str], faults: list[Fault]
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            inner = (*key, str(key_node.value))
            line = key_node.start_mark.line + 1
            if inner in lines:
                faults.append(Fault(inner, f"is there twice, first in line {lines[inner]}"))
            lines[inner] = line
            _walk(value_node, inner, lines, faults)
    elif isinstance(node, yaml.SequenceNode):
        for number, value_node in enumerate(node.value):
            _walk(value_node, (*key, number), lines, faults)


def _syntax_fault(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    tag = re.search(r"python/\S+", str(error.problem))
    if tag:
        return Fault(
            (), f"{where}option files cannot run code, and {tag.group().strip(chr(39))} would"
        )
    context = f" {error.context}" if error.context else ""
    return Fault((), f"{where}is not YAML: {error.problem}{context}")
