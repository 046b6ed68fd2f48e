"""Optional packages and the extras that install them."""

from importlib.util import find_spec


def require(package: str, extra: str) -> None:
    """Raise unless ``package`` can be imported.

    Raises:
        ValueError: it cannot; the message names the extra that installs it.
    """
    if find_spec(package) is None:
        raise ValueError(
            f"this needs the package {package}, which is not installed: "
            f"pip install 'lrfdn-arch[{extra}]'"
        )


def is_installed(package: str) -> bool:
    """Return whether ``package`` can be imported."""
    return find_spec(package) is not None
