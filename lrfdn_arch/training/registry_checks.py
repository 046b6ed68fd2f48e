"""The names and arguments in an option file against BasicSR's registries, before building."""

from collections.abc import Mapping
from typing import Any

from lrfdn_arch.options import Fault, Options, OptionsError, TrainOptions
from lrfdn_arch.options.faults import KeyPath
from lrfdn_arch.options.signatures import signature_faults
from lrfdn_arch.text import unknown


def check_against_registries(options: Options, file: str) -> None:
    """Check every ``type`` in ``options``, and the arguments of what is called with arguments.

    Imports BasicSR.

    Raises:
        OptionsError: with all faults.
    """
    import basicsr  # noqa: F401 (fills the registries)

    faults = _typed(("network_g",), options.network_g.model_dump(exclude_unset=True), "ARCH")
    faults += _named(("model_type",), options.model_type, "MODEL")
    for phase, dataset in options.datasets.items():
        faults += _named(("datasets", phase, "type"), dataset.type, "DATASET")
    if isinstance(options, TrainOptions):
        for name in ("pixel_opt", "perceptual_opt"):
            loss = getattr(options.train, name)
            if loss is not None:
                faults += _typed(("train", name), loss.model_dump(exclude_unset=True), "LOSS")
    for name, metric in ((options.val and options.val.metrics) or {}).items():
        written = metric.model_dump(exclude_unset=True)
        written.pop("better", None)  # for whoever compares values, not for the metric
        faults += _typed(("val", "metrics", name), written, "METRIC", given=("img", "img2"))
    if faults:
        raise OptionsError(file, faults)


def _typed(
    key: KeyPath, section: Mapping[str, Any], kind: str, given: tuple[str, ...] = ()
) -> list[Fault]:
    name = section["type"]
    faults = _named((*key, "type"), name, kind)
    if faults:
        return faults
    arguments = {k: v for k, v in section.items() if k != "type"}
    return signature_faults(_registry(kind)[name], arguments, key, given)


def _named(key: KeyPath, name: str, kind: str) -> list[Fault]:
    known = _registry(kind)
    if name in known:
        return []
    return [Fault(key, unknown(name, known, kind.replace("ARCH", "network").lower()), name)]


def _registry(kind: str) -> dict[str, Any]:
    """Return what is registered, also under the short names BasicSR finds things by."""
    from basicsr.utils import registry

    full = dict(iter(getattr(registry, f"{kind}_REGISTRY")))
    return {name.removesuffix("_basicsr"): found for name, found in full.items()} | full
