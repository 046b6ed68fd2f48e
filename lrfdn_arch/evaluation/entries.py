"""Entries of a challenge with their per-image results, and the kits' table of them.

Entries are read from the organisers' files or our own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrfdn_arch.evaluation.protocols import TEST, VALID, YEARS, Values, Year, year_of
from lrfdn_arch.evaluation.results import RESULTS_FILE, NetworkResult, Results, mean, read_results

_NAMES = {VALID: "Val", TEST: "Test"}  # of the sets, in the kits' table
_WIDTHS = {"Model": 20, "Acts [M]": 8, "Mem [M]": 8, "Conv": 8}  # PSNR and others 10, times 14
_DECIMALS = {"Params [M]": 3, "Val SSIM": 4}  # others 2


@dataclass(frozen=True)
class SetScores:
    """One entry on one image set; all entries have the images in the same order.

    ``psnr`` is that of each image on RGB in dB, None without ground truth or where one is infinite;
    ``runtime_ms`` its forward time, of which the first is cold; ``memory_mib`` the peak on a GPU;
    ``ssim`` the mean on RGB.
    """

    psnr: Values | None
    runtime_ms: Values
    memory_mib: float | None = None
    ssim: float | None = None


@dataclass(frozen=True)
class Entry:
    """One entry; ``flops`` are those of the year's counter, ``sets`` are by role."""

    label: str
    params: float
    flops: float
    activations: float
    convolutions: int
    sets: Mapping[str, SetScores]
    network: str | None = None

    @property
    def runtime_ms(self) -> float:
        """The runtime that the challenges rank by: the mean of the sets' means."""
        return float(np.mean([scores.runtime_ms.mean() for scores in self.sets.values()]))


def entry_of(networks: Mapping[str, NetworkResult], year: Year) -> Entry:
    """Return the entry that one network's results, by role of the set, amount to."""
    first, sets = next(iter(networks.values())), {}
    for role, network in networks.items():
        psnr = np.array([i.psnr_rgb for i in network.images], np.float64)  # None becomes NaN
        sets[role] = SetScores(
            psnr=psnr if np.isfinite(psnr).all() else None,
            runtime_ms=np.array([image.runtime_ms or 0 for image in network.images], np.float64),
            memory_mib=network.kit_timing.memory_mib,
            ssim=mean(network.images, "ssim_rgb"),
        )
    return Entry(
        label=first.label,
        params=first.counts.params,
        flops=getattr(first.counts, year.counter),
        activations=first.counts.activations,
        convolutions=first.counts.convolutions,
        sets=sets,
        network=first.network,
    )


def entries_of(evaluations: Sequence[Results], year: Year) -> list[Entry]:
    """Return the entries of evaluations of the same networks on the year's sets.

    Raises:
        ValueError: a network was not evaluated on every set.
    """
    by_label: dict[str, dict[str, NetworkResult]] = {}
    for results in evaluations:
        role = year.role_of(results.dataset.name)
        for network in results.networks:
            by_label.setdefault(network.label, {})[role] = network
    roles = {role for networks in by_label.values() for role in networks}
    partial = [label for label, networks in by_label.items() if networks.keys() != roles]
    if partial:
        raise ValueError(f"{', '.join(partial)}: evaluated on one of the two sets only")
    return [entry_of(networks, year) for networks in by_label.values()]


def read_entries(path: Path, year: Year | None = None) -> tuple[Year, list[Entry]]:
    """Read the organisers' ``results.json``, or a file or folder of ``lrfdn challenge``.

    The year is by default that of the file's baseline or protocol.

    Raises:
        ValueError: the file has neither format, or its year cannot be told.
    """
    content = {}
    if not path.is_dir():
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not a JSON file: {error}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path}: expected an object, found a {type(content).__name__}")
    if path.is_dir() or "format" in content:
        evaluations = [read_results(part) for part in result_folders(path)]
        year = year or year_of(evaluations[0].protocol.name)
        return year, entries_of(evaluations, year)
    try:
        entries = [_organisers_entry(label, values) for label, values in content.items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected the organisers' results.json or that of `lrfdn challenge`; "
            f"{type(error).__name__}: {error}"
        ) from error
    found = [y for y in YEARS.values() if find_baseline(entries, y)]
    if year is None and not found:
        raise ValueError(f"{path}: its first entry is no known baseline; specify --protocol YEAR")
    return year or found[0], entries


def result_folders(folder: Path) -> list[Path]:
    """Return ``folder``, or its subfolders with results if it was made with two image sets."""
    if (folder / RESULTS_FILE).is_file():
        return [folder]
    return sorted((f.parent for f in folder.glob(f"*/{RESULTS_FILE}")), reverse=True) or [folder]


def kit_row(entry: Entry, ssim: bool = False) -> dict[str, Any]:
    """Return an entry's figures by the headings of the kits' table; None where one is unknown.

    ``ssim`` adds the mean RGB SSIM of the first set, which the kits only log.
    """
    first, sets = next(iter(entry.sets.values())), entry.sets.items()
    psnr = {role: None if s.psnr is None else float(s.psnr.mean()) for role, s in sets}
    return {
        "Model": entry.label,
        **{f"{_NAMES[role]} PSNR": value for role, value in psnr.items()},
        **{f"{_NAMES[role]} Time [ms]": float(s.runtime_ms.mean()) for role, s in sets},
        **({"Ave Time [ms]": entry.runtime_ms} if len(sets) > 1 else {}),
        "Params [M]": entry.params / 1e6,
        "FLOPs [G]": entry.flops / 1e9,
        "Acts [M]": entry.activations / 1e6,
        "Mem [M]": first.memory_mib,
        "Conv": entry.convolutions,
        **({"Val SSIM": first.ssim} if ssim else {}),
    }


def kit_text(entries: Sequence[Entry], ssim: bool = False) -> str:
    """Return ``results.txt``: the table that the kits write, with the same columns and precision.

    The entries were evaluated on the same sets; ``ssim`` as for :func:`kit_row`.
    """

    def show(heading: str, value: Any) -> str:
        if value is None or heading in ("Model", "Conv"):
            return "-" if value is None else f"{value:4}"
        return f"{value:.{_DECIMALS.get(heading, 2)}f}"

    rows = [kit_row(entry, ssim) for entry in entries]
    widths = {name: _WIDTHS.get(name, 14 if "Time" in name else 10) for name in rows[0]}
    lines = [list(widths), *([show(*cell) for cell in row.items()] for row in rows)]
    return "".join(
        "\t".join(f"{cell:<{width}}" for cell, width in zip(line, widths.values(), strict=True))
        + "\n"
        for line in lines
    )


def find_baseline(entries: Sequence[Entry], year: Year, label: str | None = None) -> Entry | None:
    """Return the entry called ``label``, or the year's baseline; None if it is not there."""
    if label is not None:
        return next(entry for entry in entries if entry.label == label)
    return next((e for e in entries if is_baseline(e.label, e.network, year)), None)


def is_baseline(label: str, network: str | None, year: Year) -> bool:
    """Return whether this is the year's baseline, as a network of ours or of a kit."""
    return network == year.baseline or label.startswith(f"00_{year.baseline}")


def _organisers_entry(label: str, values: Mapping[str, Any]) -> Entry:
    sets = {
        role: SetScores(
            psnr=np.array(values[f"{role}_psnr"], np.float64),
            runtime_ms=np.array(values[f"{role}_runtime"], np.float64),
            memory_mib=values[f"{role}_memory"],
        )
        for role in (VALID, TEST)
        if f"{role}_psnr" in values
    }
    if not sets or any(s.runtime_ms.shape != s.psnr.shape for s in sets.values()):  # type: ignore[union-attr]
        raise ValueError(f"{label} has no PSNR and runtime for each image")
    if not min(values["num_parameters"], values["flops"]) > 0:
        raise ValueError(f"{label} has no parameters or no FLOPs")
    return Entry(
        label=label,
        params=values["num_parameters"] * 1e6,
        flops=values["flops"] * 1e9,
        activations=values["activations"] * 1e6,
        convolutions=values["num_conv"],
        sets=sets,
    )
