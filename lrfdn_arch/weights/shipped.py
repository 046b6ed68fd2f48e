"""Which weights file is meant: a path, the name of shipped weights, or nothing at all."""

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "LRFDN_WEIGHTS"
DEFAULT_NAME = "lrfdn_x4"
SHIPPED = Path(__file__).parent  # NAME.safetensors, each with its model card NAME.md


def find_weights(wanted: str | None = None, shipped: Path = SHIPPED) -> Path:
    """Return the weights file that ``wanted`` means.

    Args:
        wanted: a file, or the name of shipped weights in any case. Without it the environment
            variable LRFDN_WEIGHTS, and without that the shipped "lrfdn_x4".
        shipped: folder of the shipped weights, NAME.safetensors.

    Raises:
        FileNotFoundError: it is neither a file nor a shipped name; the message lists the names and
            says how else to give weights.
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
    if Path(source).is_file():
        return Path(source)
    if source.lower() in names:
        return names[source.lower()]
    said = "" if wanted else f"{ENVIRONMENT_VARIABLE}: "
    known = ", ".join(names) or "none"
    raise FileNotFoundError(
        f"{said}no weights file at {source}, and no shipped weights of that name (shipped: {known})"
    )
