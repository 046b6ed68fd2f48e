"""What all sections of an option file share: strictness, number types, pass-through arguments."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _whole(value: Any) -> Any:
    """Accept 5000.0 for 5000: BasicSR's own files write counts as ``!!float 5e3``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(ge=0)]
Positive = Annotated[Whole, Field(ge=1)]
# YAML has lists; kept as tuples, because frozen means frozen.
Wholes = Annotated[tuple[Whole, ...], Field(strict=False)]
Numbers = Annotated[tuple[float, ...], Field(strict=False)]


class Section(BaseModel):
    """A part of the file: frozen, no silent conversions (``"4"`` is not 4).

    Keys that are not fields are kept and passed through; :mod:`unknown_keys` reports them wherever
    the section's ``type`` is one whose arguments are known.
    """

    # Whether BasicSR passes the whole section to a function, which knows nothing of our defaults.
    only_written: ClassVar[bool] = False

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False)

    def passed_through(self) -> dict[str, Any]:
        """Return the keys that are not fields, as they were written."""
        return dict(self.__pydantic_extra__ or {})


class Typed(Section):
    """Something a registry builds: ``type`` is the name, every other key an argument."""

    type: str = Field(min_length=1, description="Name in BasicSR's registry.")

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that were written, without ``type``; a fresh dict each time."""
        return {k: v for k, v in self.model_dump(exclude_unset=True).items() if k != "type"}
