"""Text shared by messages: the first few of a list, the nearest valid name."""

import difflib
from collections.abc import Iterable


def first_few(names: Iterable[str], limit: int = 4, separator: str = ", ") -> str:
    """Return the first names and the number of remaining ones; "none" for an empty list."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (separator.join(names[:limit]) or "none") + more


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that ``name`` most resembles, in any case; None if none is close."""
    in_lower_case = {valid_name.lower(): valid_name for valid_name in valid}
    near = difflib.get_close_matches(name.lower(), in_lower_case, n=1)
    return in_lower_case[near[0]] if near else None


def unknown(name: str, valid: Iterable[str], what: str = "key") -> str:
    """Return the message for an unknown ``name``: the nearest valid name, or all of them."""
    names = sorted(valid)
    if near := nearest(name, names):
        return f"unknown {what}; did you mean {near!r}?"
    return f"unknown {what}; valid are {', '.join(names) or 'none'}"


def error_message(error: BaseException) -> str:
    """Return an error's message without the number that Python adds to system errors."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).splitlines() or [type(error).__name__])[0]
