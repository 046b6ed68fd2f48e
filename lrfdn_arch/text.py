"""How messages name many things: the first few, and how many more there are."""

from collections.abc import Iterable


def first_few(names: Iterable[str], limit: int = 4, separator: str = ", ") -> str:
    """Return the first names, and how many more there are; "none" for none."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (separator.join(names[:limit]) or "none") + more
