"""Arguments in an option file against the signature of what will be called with them."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from lrfdn_arch.options.faults import Fault, KeyPath
from lrfdn_arch.text import unknown

_SIMPLE = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def signature_faults(
    callee: Callable[..., Any],
    arguments: Mapping[str, Any],
    key: KeyPath,
    given: Collection[str] = (),
) -> list[Fault]:
    """Return what is wrong with calling ``callee`` with ``arguments``, all of it.

    Args:
        callee: a class or function.
        arguments: keyword arguments as an option file has them.
        key: where they are in the file.
        given: parameters the program fills in, which are neither required nor allowed there.
    """
    parameters = dict(inspect.signature(callee).parameters)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {k: p for k, p in parameters.items() if p.kind not in variadic and k not in given}
    name = getattr(callee, "__name__", str(callee))
    faults = [
        Fault((*key, argument), unknown(argument, named, f"argument of {name}"))
        for argument in arguments
        if argument not in named and not open_ended
    ]
    faults += [
        Fault((*key, argument), f"{name} needs this argument")
        for argument, parameter in named.items()
        if parameter.default is parameter.empty and argument not in arguments
    ]
    kinds = {argument: _kind(parameter) for argument, parameter in named.items()}
    faults += [
        Fault((*key, argument), f"{name} expects {_SIMPLE[kinds[argument]]} here", value)
        for argument, value in arguments.items()
        if argument in named and not _fits(value, kinds[argument])
    ]
    return faults


def our_networks() -> dict[str, type]:
    """Return the networks and blocks this package registers, by name. Imports torch."""
    from lrfdn_arch.archs import ARCHITECTURES

    classes = [c for record in ARCHITECTURES.values() for c in (record.network, *record.blocks)]
    return {cls.__name__: cls for cls in classes}


def _kind(parameter: inspect.Parameter) -> Any:
    """Return a parameter's type; where it has none, a default that is a fraction or text tells."""
    if parameter.annotation is parameter.empty and type(parameter.default) in (float, str):
        return type(parameter.default)
    return parameter.annotation


def _fits(value: Any, annotation: Any) -> bool:
    """Return whether ``value`` is of a simple annotated type; other annotations are not judged."""
    if annotation not in _SIMPLE:
        return True
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation)
