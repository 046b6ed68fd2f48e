"""Comparison of stored evaluations of the same protocol, images and scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lrfdn_arch.evaluation.audit import SetAudit, audit
from lrfdn_arch.evaluation.entries import entry_of, is_baseline
from lrfdn_arch.evaluation.protocols import Year, year_of
from lrfdn_arch.evaluation.results import (
    IMAGES,
    Dataset,
    Environment,
    ImageScore,
    NetworkResult,
    Protocol,
    Results,
    mean,
    read_results,
)

_DRAWS = 2_000


@dataclass(frozen=True)
class Entry:
    """One network of one evaluation; ``label`` is unique in the comparison."""

    label: str
    network: NetworkResult
    environment: Environment
    images: Path | None

    def mean(self, metric: str) -> float | None:
        """Return the mean over the images of a metric of ``ImageScore``."""
        return mean(self.network.images, metric)

    @property
    def psnr_by_image(self) -> dict[str, float]:
        """RGB PSNR by image name; empty without ground truth."""
        return {i.name: i.psnr_rgb for i in self.network.images if i.psnr_rgb is not None}


@dataclass(frozen=True)
class Comparison:
    """Networks with results of the same protocol and image set, compared by a year's rules.

    Attributes:
        entries: the networks in the order of the folders.
        bicubic: per-image scores of bicubic, empty if no evaluation has them.
        references: folder with ``LR-bicubic`` and ``HR``, None if no images were saved.
        failures: networks of kits that could not be evaluated, and why.
    """

    year: Year
    protocol: Protocol
    dataset: Dataset
    entries: tuple[Entry, ...]
    bicubic: tuple[ImageScore, ...]
    references: Path | None
    failures: tuple[str, ...]

    @property
    def role(self) -> str:
        """The role of the image set in the year's challenge."""
        return self.year.role_of(self.dataset.name)

    @property
    def is_challenge_set(self) -> bool:
        """Whether published PSNR and runtimes are of this image set."""
        names = self.year.sets.values()
        same = self.dataset.name in names and self.dataset.count == self.year.images
        return same and self.protocol.scale == 4

    def find_baseline(self, year: Year) -> Entry | None:
        """Return the baseline of a year, from our weights or those of a kit."""
        found = (e for e in self.entries if is_baseline(e.label, e.network.network, year))
        return next(found, None)

    @property
    def baseline(self) -> Entry:
        """The year's baseline if present, else the last network."""
        return self.find_baseline(self.year) or self.entries[-1]

    @cached_property
    def intervals(self) -> dict[str, SetAudit]:
        """The figures of each network with their intervals, by label."""
        entries = [
            replace(entry_of({self.role: entry.network}, self.year), label=entry.label)
            for entry in self.entries
        ]
        found = audit(entries, self.year, self.baseline.label, _DRAWS)
        return {standing.label: standing.sets[self.role] for standing in found.standings}

    @property
    def is_one_machine(self) -> bool:
        """Whether all runtimes were measured on the same device."""
        return len({entry.environment.device for entry in self.entries}) == 1

    @property
    def others(self) -> list[Entry]:
        """All entries except the baseline."""
        return [entry for entry in self.entries if entry is not self.baseline]


def load_comparison(folders: Sequence[Path], year: Year | None = None) -> Comparison:
    """Read the results in ``folders`` and check that they are comparable.

    The year is by default that of the first folder's protocol. If several evaluations use a label,
    their folders are appended to it.

    Raises:
        ValueError: protocols or image sets differ, or a folder is given twice.
    """
    loaded = [(folder, read_results(folder)) for folder in folders]
    differences = [line for other in loaded[1:] for line in _differences(loaded[0], other)]
    if differences:
        raise ValueError(
            "these results cannot be compared:\n  "
            + "\n  ".join(differences)
            + "\n  compare only equal settings, or evaluate again with the same options"
        )
    labels = [network.label for _, results in loaded for network in results.networks]
    where = _telling_names(folders)
    entries = [
        Entry(
            label=f"{n.label} ({where[folder]})" if labels.count(n.label) > 1 else n.label,
            network=n,
            environment=results.environment,
            images=folder / IMAGES / n.label if results.has_images else None,
        )
        for folder, results in loaded
        for n in results.networks
    ]
    first = loaded[0][1]
    with_images = [(folder, results) for folder, results in loaded if results.has_images]
    return Comparison(
        year=year or year_of(first.protocol.name),
        protocol=first.protocol,
        dataset=first.dataset,
        entries=tuple(entries),
        bicubic=with_images[0][1].bicubic if with_images else (),
        references=with_images[0][0] / IMAGES if with_images else None,
        failures=tuple(
            f"{label}: {reason}"
            for _, results in loaded
            for label, reason in results.failures.items()
        ),
    )


def _telling_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return unique names: the folders' names, or their paths if the names are not unique."""
    resolved = [folder.resolve() for folder in folders]
    for folder, path in zip(folders, resolved, strict=True):
        if resolved.count(path) > 1:
            raise ValueError(f"the same results are given twice: {folder}")
    are_unique = len({path.name for path in resolved}) == len(resolved)
    return {folder: folder.resolve().name if are_unique else str(folder) for folder in folders}


def _differences(first: tuple[Path, Results], other: tuple[Path, Results]) -> list[str]:
    (a_folder, a), (b_folder, b) = first, other
    lines = [
        f"{name}: {getattr(a.protocol, name)} in {a_folder}, {getattr(b.protocol, name)} in "
        f"{b_folder}"
        for name in Protocol.model_fields.keys() - {"name"}  # pixels are compared alike every year
        if getattr(a.protocol, name) != getattr(b.protocol, name)
    ]
    # The hashes depend on the scale, so they are compared only at the same scale.
    if a.protocol.scale == b.protocol.scale and a.dataset.sha256 != b.dataset.sha256:
        lines.append(
            f"images: {a.dataset.name} ({a.dataset.count} images) in {a_folder}, "
            f"{b.dataset.name} ({b.dataset.count} images) in {b_folder}"
            + (", with different pixels" if a.dataset.name == b.dataset.name else "")
        )
    return lines
