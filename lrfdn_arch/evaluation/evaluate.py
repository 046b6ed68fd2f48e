"""Evaluation of several networks on one image set, for ``lrfdn challenge``."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from lrfdn_arch.evaluation.challenge import identity_of, judge, judge_bicubic
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.entries import entries_of, kit_text
from lrfdn_arch.evaluation.environment import describe_environment
from lrfdn_arch.evaluation.fair_timing import TimingPlan, time_in_turn
from lrfdn_arch.evaluation.image_set import ImageSet
from lrfdn_arch.evaluation.inspection import inspect
from lrfdn_arch.evaluation.kits.client import KitError, KitNetwork
from lrfdn_arch.evaluation.progress import Progress
from lrfdn_arch.evaluation.protocols import YEARS, Year, year_of
from lrfdn_arch.evaluation.results import IMAGES, RESULTS_FILE, Dataset, Protocol, Results
from lrfdn_arch.files import write_whole
from lrfdn_arch.text import first_few

RESULTS_TEXT = "results.txt"
_UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    Attributes:
        device: device to run the networks on.
        year: the challenge whose protocol is followed.
        ssim: compute SSIM too.
        tf32: see ``Protocol``.
        save_images: save outputs, bicubic and HR under ``images/``; the page needs them.
        timing: the fair timing to run, or None to skip it.
    """

    device: torch.device
    year: Year = YEARS[2023]
    ssim: bool = True
    tf32: bool = False
    save_images: bool = True
    timing: TimingPlan | None = None


def evaluate(
    competitors: Sequence[Competitor],
    image_set: ImageSet,
    out: Path,
    settings: Settings,
    on_step: Callable[[str, str], None] = lambda stage, name: None,
    failures: Mapping[str, str] = MappingProxyType({}),
) -> Results:
    """Evaluate ``competitors`` on ``image_set``; write ``results.json`` and ``results.txt``.

    An interrupted evaluation in the same folder is resumed.

    Args:
        competitors: networks of the same scale.
        image_set: the images to evaluate on.
        out: output folder; must be missing, empty, or contain an unfinished evaluation.
        settings: the evaluation settings.
        on_step: called after each image with the stage ("checking images" or a network's label)
            and the image's name, and after each timed pass with "timing" and the label.
        failures: why networks of kits could not be loaded, by name.

    Raises:
        ValueError: the network of every competitor failed.
    """
    check_free(out)
    if not competitors:
        raise _no_network(failures)
    scale = competitors[0].scale
    protocol = Protocol(
        name=settings.year.name,
        scale=scale,
        crop_border=scale,
        ssim=settings.ssim,
        tf32=settings.tf32,
    )
    sha256 = inspect(image_set, scale, lambda name: on_step("checking images", name))
    environment = describe_environment(settings.device)
    images = out / IMAGES if settings.save_images else None
    progress = {
        competitor.label: Progress(
            out / _UNFINISHED / f"{competitor.label}.jsonl",
            identity_of(competitor, protocol, sha256, environment),
        )
        for competitor in competitors
    }
    networks, failures = [], dict(failures)
    for c in competitors:
        try:
            network = judge(
                c,
                image_set,
                protocol,
                settings.device,
                progress[c.label],
                images / c.label if images else None,
                lambda score, label=c.label: on_step(label, score.name),
            )
            networks.append(network)
        except KitError as error:
            failures[c.label] = str(error)
        finally:
            if isinstance(c.network, KitNetwork):
                c.network.close()
    if not networks:
        raise _no_network(failures)
    bicubic = judge_bicubic(image_set, protocol, images) if images else ()
    if settings.timing:
        timings = time_in_turn(
            {c.label: c.network for c in competitors if c.label not in failures},
            settings.timing,
            settings.device,
            on_pass=lambda label: on_step("timing", label),
        )
        networks = [
            n.model_copy(update={"fair_timings": tuple(timings[n.label])}) for n in networks
        ]
    results = Results(
        protocol=protocol,
        dataset=Dataset(
            name=image_set.name,
            count=len(image_set.pairs),
            has_ground_truth=image_set.has_hr,
            sha256=sha256,
        ),
        environment=environment,
        networks=tuple(networks),
        bicubic=bicubic,
        has_images=images is not None,
        failures=failures,
    )
    write_results(out, results)
    shutil.rmtree(out / _UNFINISHED)
    return results


def _no_network(failures: Mapping[str, str]) -> ValueError:
    lines = [f"{label}: {reason}" for label, reason in failures.items()]
    return ValueError("no network could be evaluated:\n  " + "\n  ".join(lines))


def write_results(out: Path, results: Results) -> None:
    """Write ``results.json``, and the kits' ``results.txt`` beside it."""
    entries = entries_of([results], year_of(results.protocol.name))
    write_whole(out / RESULTS_TEXT, kit_text(entries, results.protocol.ssim).encode())
    write_whole(out / RESULTS_FILE, (results.model_dump_json(indent=1) + "\n").encode())


def check_free(out: Path) -> None:
    """Check that ``out`` is missing, empty, or contains an unfinished evaluation.

    Raises:
        FileExistsError: it contains a finished evaluation or other files.
    """
    if (out / RESULTS_FILE).exists():
        raise FileExistsError(
            f"{out} contains a finished evaluation. Choose another --out, or use --overwrite to "
            "replace it"
        )
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out {out}: expected a folder, found a file")
    others = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    if others and not (out / _UNFINISHED).is_dir():
        raise FileExistsError(
            f"{out} is not empty ({first_few(others)}) and does not contain an unfinished "
            "evaluation. Choose another --out"
        )


def remove_evaluation(out: Path) -> None:
    """Remove only the files that :func:`evaluate` wrote to ``out``, finished or not."""
    if not ((out / RESULTS_FILE).is_file() or (out / _UNFINISHED).is_dir()):
        return
    for name in (IMAGES, _UNFINISHED):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (RESULTS_FILE, RESULTS_TEXT):
        (out / name).unlink(missing_ok=True)
