"""Finding weights: a file, shipped weights by name, released ones by name, or the default."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from lrfdn_arch.extras import is_installed, require

if TYPE_CHECKING:
    from lrfdn_arch.archs import Released

ENVIRONMENT_VARIABLE = "LRFDN_WEIGHTS"
_LARGEST = 64_000_000  # bytes of a released file
DEFAULT_NAME = "lrfdn_x4"
RELEASED_PREFIX = "released:"
SHIPPED = Path(__file__).parent  # NAME.safetensors, each with its model card NAME.md


def find_weights(wanted: str | None = None, shipped: Path = SHIPPED) -> Path:
    """Return the weights file that ``wanted`` means.

    Args:
        wanted: a file; the name of shipped weights in any case; or "released:NAME" for weights that
            a network's authors published, which are downloaded once into the user's cache folder.
            Without it the environment variable LRFDN_WEIGHTS, and without that the shipped
            "lrfdn_x4".
        shipped: folder of the shipped weights, NAME.safetensors.

    Raises:
        FileNotFoundError: it is neither a file nor a known name; the message lists the names.
        OSError: released weights cannot be downloaded.
        ValueError: the downloaded file is not the released one.
    """
    source = wanted or os.environ.get(ENVIRONMENT_VARIABLE) or None  # LRFDN_WEIGHTS= unsets it
    names = {path.stem.lower(): path for path in sorted(shipped.glob("*.safetensors"))}
    if source is None:
        if DEFAULT_NAME in names:
            return names[DEFAULT_NAME]
        raise FileNotFoundError(
            f"no weights were given, and this installation ships no {DEFAULT_NAME}: give a file "
            f"with --weights FILE, or set {ENVIRONMENT_VARIABLE}=FILE. BasicSR .pth, plain state "
            "dicts, .safetensors and .onnx are understood"
        )
    if source.lower().startswith(RELEASED_PREFIX):
        return _released(source[len(RELEASED_PREFIX) :])
    if Path(source).is_file():
        return Path(source)
    if source.lower() in names:
        return names[source.lower()]
    said = "" if wanted else f"{ENVIRONMENT_VARIABLE}: "
    raise FileNotFoundError(
        f"{said}no weights file at {source}, and no weights of that name: shipped are "
        f"{', '.join(names) or 'none'}; those released by their authors "
        + (f"are {_names()}" if is_installed("torch") else "need torch")
    )


def _all_released() -> "dict[str, Released]":
    """Return the released weights by name, in lower case.

    Raises:
        ValueError: torch is not installed.
    """
    require("torch", extra="torch")
    from lrfdn_arch.archs.lookup import RELEASED  # imports torch, which shipped weights need not

    return {released.name.lower(): released for _, released in RELEASED.values()}


def _names() -> str:
    return ", ".join(f"{RELEASED_PREFIX}{released.name}" for released in _all_released().values())


def _released(name: str) -> Path:
    from lrfdn_arch.download import Download, fetch

    released = _all_released().get(name.lower())
    if released is None:
        raise FileNotFoundError(f"no released weights are called {name}; available are {_names()}")
    download = Download(released.url, f"sha256:{released.sha256}", limit=_LARGEST)
    try:
        return fetch(download, user_cache_path("lrfdn") / "released")
    except OSError as error:
        raise OSError(f"the released {released.name} cannot be downloaded: {error}") from error
