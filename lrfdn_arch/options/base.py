"""What all sections of an option file share: strictness, number types, unknown keys, arguments."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from lrfdn_arch.options.faults import Fault
from lrfdn_arch.text import unknown

_LARGEST_ARGUMENT = 2**31 - 1
_SIMPLE: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "text"),
}


def _whole(value: Any) -> Any:
    """Accept 5000.0 for 5000: BasicSR's own files write counts as ``!!float 5e3``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _accept(value: Any) -> Any:
    if isinstance(value, Fault):
        raise ValueError(value.expected)
    return value


Whole = Annotated[int, Field(le=2**53), BeforeValidator(_whole)]  # exact as a float
Count = Annotated[Whole, Field(ge=0)]
Positive = Annotated[Whole, Field(ge=1)]
# YAML has lists; kept as tuples, because frozen means frozen.
Wholes = Annotated[tuple[Whole, ...], Field(strict=False)]
Numbers = Annotated[tuple[float, ...], Field(strict=False)]
# Part of a path: no separators, no leading dot, no control characters.
FileName = Annotated[str, Field(pattern=r"^[^/\\.\x00-\x1f][^/\\\x00-\x1f]*$", max_length=128)]


class Section(BaseModel):
    """A part of the file: frozen, no silent conversions (``"4"`` is not 4).

    Validation takes as context whether the model is one whose options are all known.
    """

    # Whether a model from elsewhere may read further keys, which are then kept.
    open_to_models: ClassVar[bool] = False
    # Whether BasicSR passes the whole section to a function, which does not know our defaults.
    only_written: ClassVar[bool] = False

    model_config = ConfigDict(
        frozen=True, strict=True, extra="allow", allow_inf_nan=False, use_attribute_docstrings=True
    )
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_accept)]] = Field(init=False)  # type: ignore[reportIncompatibleVariableOverride]

    @classmethod
    def wrong(cls, data: Mapping[str, Any]) -> dict[str, Fault]:
        """Return what is wrong in ``data`` beyond its fields' types: keys that nothing reads."""
        fields = cls.model_fields
        return {k: Fault((), unknown(str(k), fields)) for k in data if k not in fields}

    @model_validator(mode="before")
    @classmethod
    def _mark_wrong(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict) or (cls.open_to_models and not info.context):
            return data
        return data | cls.wrong(data)

    @model_serializer(mode="wrap")
    def _written_or_set(self, handler: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        """Leave out a None that was not written: BasicSR asks ``'mean' in opt``."""
        return {
            key: value
            for key, value in handler(self).items()
            if key in self.model_fields_set or not (value is None or self.only_written)
        }


class Typed(Section):
    """Something a registry builds: ``type`` is the name, every other key an argument."""

    kind: ClassVar[str]  # of the registry, in lower case
    not_arguments: ClassVar[tuple[str, ...]] = ("type",)
    given: ClassVar[tuple[str, ...]] = ()  # arguments that the program fills in

    type: str = Field(min_length=1)
    """Name in BasicSR's registry; for optimizers, of torch.optim, or Muon."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that were written, without ``type``; a fresh dict each time."""
        return {k: v for k, v in self.model_dump(exclude_unset=True).items() if k != "type"}

    @field_validator("type")
    @classmethod
    def _check_type(cls, name: str, info: ValidationInfo) -> str:
        return name if cls.open_to_models and not info.context else check_name(name, cls.kind)

    @classmethod
    def wrong(cls, data: Mapping[str, Any]) -> dict[str, Fault]:
        """Return the arguments that do not fit the signature of ``type``."""
        name = data.get("type")
        if not isinstance(name, str) or name not in _registered(cls.kind):
            return {}
        arguments = {k: v for k, v in data.items() if k not in cls.not_arguments}
        return wrong_arguments(_registered(cls.kind)[name], arguments, cls.given)


def check_name(name: str, kind: str) -> str:
    """Return ``name`` if a network, model, dataset, loss, metric or optimizer (``kind``) has it.

    Raises:
        ValueError: none has.
    """
    if name in _registered(kind):
        return name
    expected = unknown(name, _registered(kind), kind)
    if "did you mean" not in expected and kind != "optimizer":
        expected += "; 'imports' names files and modules that register others"
    raise ValueError(expected)


def _registered(kind: str) -> Mapping[str, Any]:
    if kind == "optimizer":
        from lrfdn_arch.muon import optimizers

        return optimizers()
    from lrfdn_arch.archs.lookup import registered

    return registered(f"{kind.replace('network', 'arch').upper()}_REGISTRY")


def wrong_arguments(
    callee: Callable[..., Any], arguments: Mapping[str, Any], given: Collection[str]
) -> dict[str, Fault]:
    """Return what is wrong with an option file's ``arguments`` of ``callee``, by argument.

    Parameters that are ``given`` are neither required nor allowed in the file.
    """
    parameters = inspect.signature(callee).parameters.values()
    name = callee.__name__
    # BasicSR's metrics swallow any other argument.
    swallows = inspect.isfunction(callee) and callee.__module__.startswith("basicsr.")
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters) and not swallows
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {p.name: p for p in parameters if p.kind not in variadic and p.name not in given}
    missing = [n for n, p in named.items() if p.default is p.empty and n not in arguments]
    wrong = {n: Fault((), f"{name} needs this argument") for n in missing}
    for argument, value in arguments.items():
        if argument in named:
            if expected := _expected(value, named[argument]):
                wrong[argument] = Fault((), f"{name} expects {expected} here", value)
        elif not open_ended:
            wrong[argument] = Fault((), unknown(str(argument), named, f"argument of {name}"))
    return wrong


def _expected(value: Any, parameter: inspect.Parameter) -> str | None:
    """Return what a parameter expects if ``value`` is not that; only simple types are judged.

    Where a parameter has no type, a default that is a fraction or text tells it.
    """
    kind = getattr(parameter.annotation, "__name__", parameter.annotation)
    if parameter.annotation is parameter.empty and type(parameter.default) in (float, str):
        kind = type(parameter.default).__name__
    if type(value) in (int, float) and not abs(value) <= _LARGEST_ARGUMENT:  # nor NaN
        return f"a number of at most {_LARGEST_ARGUMENT}"
    types, expected = _SIMPLE.get(kind, ((type(value),), ""))
    return None if type(value) in types else expected
