"""Keys that nothing reads: misspellings, found wherever a section's keys are all known."""

from collections.abc import Iterator, Mapping
from typing import Any

from lrfdn_arch.options.dataset import KNOWN_DATASETS, Dataset, IoBackend
from lrfdn_arch.options.faults import Fault, KeyPath
from lrfdn_arch.options.fields import Section
from lrfdn_arch.options.root import KNOWN_MODELS, Options
from lrfdn_arch.options.sections import DistParams, Logger, Metric, Paths, Val, Wandb
from lrfdn_arch.options.training import Scheduler, Train
from lrfdn_arch.text import unknown

# Arguments of BasicSR's metrics beyond the fields of Metric.
_METRIC_ARGUMENTS = {
    "calculate_psnr": {"input_order"},
    "calculate_ssim": {"input_order"},
    "calculate_niqe": {"input_order", "convert_to"},
}


def unknown_keys(data: Mapping[str, Any], root: type[Options]) -> list[Fault]:
    """Return a fault for every key of ``data`` (an option file as read) that nothing would read.

    Sections whose ``type`` is not one of ours or BasicSR's basic ones may have any keys.
    """
    return [
        Fault((*key, name), unknown(name, valid))
        for key, section, valid in _closed_sections(data, root)
        for name in map(str, section)
        if name not in valid
    ]


def _closed_sections(
    data: Mapping[str, Any], root: type[Options]
) -> Iterator[tuple[KeyPath, Mapping[str, Any], set[str]]]:
    """Yield path, content and valid keys of every section in ``data`` whose keys are all known."""
    always: list[tuple[KeyPath, type[Section]]] = [
        (("val",), Val),
        (("logger",), Logger),
        (("logger", "wandb"), Wandb),
        (("dist_params",), DistParams),
    ]
    known_model: list[tuple[KeyPath, type[Section]]] = [
        ((), root),
        (("path",), Paths),
        (("train",), Train),
        (("train", "scheduler"), Scheduler),
    ]
    models = data.get("model_type", KNOWN_MODELS[0]) in KNOWN_MODELS
    for key, model in always + known_model * models:
        yield key, _at(data, key), set(model.model_fields)
    for phase, dataset in _at(data, ("datasets",)).items():
        if isinstance(dataset, Mapping) and dataset.get("type") in KNOWN_DATASETS:
            yield ("datasets", str(phase)), dataset, set(Dataset.model_fields)
            backend = ("datasets", str(phase), "io_backend")
            yield backend, _at(dataset, ("io_backend",)), {*IoBackend.model_fields, "db_paths"}
    for name, metric in _at(data, ("val", "metrics")).items():
        kind = metric.get("type") if isinstance(metric, Mapping) else None
        if isinstance(kind, str) and kind in _METRIC_ARGUMENTS:
            valid = set(Metric.model_fields) | _METRIC_ARGUMENTS[kind]
            yield ("val", "metrics", str(name)), metric, valid


def _at(data: Mapping[str, Any], key: KeyPath) -> Mapping[str, Any]:
    """Return the section at ``key``, empty where there is none (models report wrong kinds)."""
    section: Any = data
    for part in key:
        section = section.get(part) if isinstance(section, Mapping) else None
    return section if isinstance(section, Mapping) else {}
