"""Evaluation of several networks on one image set, for ``lrfdn challenge``."""

import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from lrfdn_arch import __version__
from lrfdn_arch.device import cpu_name, device_name
from lrfdn_arch.evaluation.challenge import Progress, judge, judge_bicubic
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.entries import entries_of, kit_text
from lrfdn_arch.evaluation.image_set import ImageSet, inspect
from lrfdn_arch.evaluation.kits.client import KitError, KitNetwork
from lrfdn_arch.evaluation.protocols import year_of
from lrfdn_arch.evaluation.results import (
    IMAGES,
    RESULTS_FILE,
    Dataset,
    Environment,
    Protocol,
    Results,
)
from lrfdn_arch.evaluation.timing import TimingPlan, time_in_turn
from lrfdn_arch.files import write_whole
from lrfdn_arch.text import first_few

RESULTS_TEXT = "results.txt"
_UNFINISHED = "unfinished"


def evaluate(
    competitors: Sequence[Competitor],
    image_set: ImageSet,
    out: Path,
    protocol: Protocol,
    device: torch.device,
    *,
    save_images: bool,
    timing: TimingPlan | None,
    on_step: Callable[[str, str], None],
    failures: Mapping[str, str],
) -> Results:
    """Evaluate ``competitors`` on ``image_set``; write ``results.json`` and ``results.txt``.

    An interrupted evaluation in the same folder is resumed.

    Args:
        competitors: networks of the protocol's scale.
        image_set: the images to evaluate on.
        out: output folder that :func:`check_free` has checked.
        protocol: settings that results are comparable by.
        device: where the networks run.
        save_images: save outputs, bicubic and HR under ``images/``; the page needs them.
        timing: the fair timing to run, or None to skip it.
        on_step: called after each image with the stage ("checking images" or a network's label)
            and the image's name, and after each timed pass with "timing" and the label.
        failures: why networks of kits could not be loaded, by name.

    Raises:
        ValueError: the network of every competitor failed.
    """
    if not competitors:
        raise _no_network(failures)
    sha256 = inspect(image_set, protocol.scale, partial(on_step, "checking images"))
    environment = describe_environment(device)
    images = out / IMAGES if save_images else None
    progress = {
        competitor.label: Progress(
            out / _UNFINISHED / f"{competitor.label}.jsonl",
            {
                "weights": competitor.weights.sha256,
                "key": str(competitor.weights.key),
                "images": sha256,
                "protocol": protocol.model_dump_json(),
                "device": environment.device,
                "torch": environment.torch,
            },
        )
        for competitor in competitors
    }
    networks, failures = [], dict(failures)
    for c in competitors:
        try:
            saved, on_image = images / c.label if images else None, partial(on_step, c.label)
            networks.append(
                judge(c, image_set, protocol, device, progress[c.label], saved, on_image)
            )
        except KitError as error:
            failures[c.label] = str(error)
        finally:
            if isinstance(c.network, KitNetwork):
                c.network.close()
    if not networks:
        raise _no_network(failures)
    bicubic = judge_bicubic(image_set, protocol, images) if images else ()
    if timing:
        timed = {c.label: c.network for c in competitors if c.label not in failures}
        timings = time_in_turn(timed, timing, device, partial(on_step, "timing"))
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


def describe_environment(device: torch.device) -> Environment:
    """Return the hardware, library versions and commit in use."""
    return Environment(
        device=device_name(device),
        cpu=cpu_name(),
        threads=torch.get_num_threads(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=str(torch.backends.cudnn.version()) if torch.cuda.is_available() else None,
        numpy=np.__version__,
        opencv=cv2.__version__,
        lrfdn=__version__,
        git_commit=_git_commit(),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _git_commit() -> str | None:
    """Return the commit of the checkout that this file is part of; None outside a checkout."""
    here = Path(__file__)
    git = partial(
        subprocess.run, cwd=here.parent, capture_output=True, text=True, check=True, timeout=10
    )
    try:
        git(["git", "ls-files", "--error-unmatch", here.name])
        command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
        return git(command).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
