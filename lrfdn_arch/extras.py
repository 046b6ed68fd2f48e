"""Optional packages and the extras that install them."""

import re
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec


def require(package: str, extra: str) -> None:
    """Raise unless ``package`` can be imported.

    Raises:
        ValueError: it cannot; the message names the extra that installs it.
    """
    if not is_installed(package):
        raise ValueError(_hint(package, extra))


def hint(missing: str | None) -> str | None:
    """Return the message for a module that cannot be imported, None if no extra installs it."""
    package = (missing or "").partition(".")[0]
    name = {"cv2": "opencv-python", "skimage": "scikit-image"}.get(package, package)
    try:
        requirements = requires("lrfdn-arch") or []
    except PackageNotFoundError:  # a checkout that is not installed
        return None
    pattern = re.compile(rf"{re.escape(name)}\b(?!-).*\bextra == .(\w+)")
    found = next((m[1] for m in map(pattern.match, requirements) if m), None)
    return None if found is None else _hint(package, found)


def _hint(package: str, extra: str) -> str:
    more = ", or 'lrfdn-arch[train]' to train and compare" if extra == "torch" else ""
    return (
        f"this needs the package {package}, which is not installed: "
        f"pip install 'lrfdn-arch[{extra}]'{more}"
    )


def is_installed(package: str) -> bool:
    """Return whether ``package`` can be imported."""
    return find_spec(package) is not None
