"""The zip that goes to the server: images at the root and ``readme.txt``, the same bytes each time.

The kits document no format; this is what public submissions of NTIRE tracks look like.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.image_set import ImageSet, Pair, samples
from lrfdn_arch.evaluation.images import Image, encode_png
from lrfdn_arch.evaluation.inspection import inspect
from lrfdn_arch.evaluation.measure import Sample, measure
from lrfdn_arch.evaluation.timing import kit_arithmetic
from lrfdn_arch.files import replacing
from lrfdn_arch.text import first_few

README = "readme.txt"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say; a real date would change the bytes
_UNIX, _PLAIN_FILE = 3, 0o100644 << 16


@dataclass(frozen=True)
class Form:
    """What ``readme.txt`` says.

    Attributes:
        description: free text on one line.
        extra_data: whether other data than the challenge's was used in training.
        runtime_s: seconds per image; None for what is measured while the images are made.
    """

    description: str
    extra_data: bool = True
    runtime_s: float | None = None

    def text(self, measured_s: float, on_cpu: bool) -> str:
        """Return the four lines."""
        runtime = measured_s if self.runtime_s is None else self.runtime_s
        return (
            f"runtime per image [s] : {runtime:.2f}\n"
            f"CPU[1] / GPU[0] : {int(on_cpu)}\n"
            f"Extra Data [1] / No Extra Data [0] : {int(self.extra_data)}\n"
            f"Other description : {self.description}\n"
        )


def write_submission(
    competitor: Competitor,
    image_set: ImageSet,
    out: Path,
    form: Form,
    device: torch.device,
    pattern: str = "{name}.png",
    overwrite: bool = False,
    on_image: Callable[[str], None] = lambda name: None,
) -> None:
    """Upscale every small image and write ``out``, after checking what is in it.

    The same images, weights and ``form.runtime_s`` give the same bytes. The runtime that is
    measured otherwise is the kit's: mean of the forward passes, the first included.

    Args:
        competitor: the network.
        image_set: the images; ground truth is not looked at.
        out: the zip file.
        form: what ``readme.txt`` says.
        device: where the network runs.
        pattern: file name of an image in the zip, with ``{name}`` for the HR name.
        overwrite: replace a file that is there.
        on_image: called after each image.

    Raises:
        FileExistsError: ``out`` is there and ``overwrite`` is off.
        ValueError: images are damaged, or names clash or do not lie at the root.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; choose another --out, or give --overwrite")
    if len(form.description.splitlines()) > 1:
        raise ValueError("the description of a submission is one line of readme.txt")
    names = file_names([pair.name for pair in image_set.pairs], pattern)
    inspect(image_set, competitor.scale)
    out.parent.mkdir(parents=True, exist_ok=True)
    expected: dict[str, tuple[int, int]] = {}
    files = {p.name: file for p, file in zip(image_set.pairs, names, strict=True)}
    with replacing(out) as unchecked:
        with zipfile.ZipFile(unchecked, "w") as archive, kit_arithmetic(tf32=False):

            def save(sample: Sample, sr: Image) -> None:
                height, width = sample.lq.shape[2:]
                expected[files[sample.name]] = height * competitor.scale, width * competitor.scale
                _add(archive, files[sample.name], encode_png(sr))

            measured = measure(
                competitor.network.to(device),
                samples([Pair(p.name, p.read_lr, None) for p in image_set.pairs], competitor.scale),
                device=device,
                data_range=competitor.data_range,
                save=save,
                on_image=lambda image: on_image(image.name),
            )
            seconds = sum(image.runtime_ms for image in measured) / len(measured) / 1000
            _add(archive, README, form.text(seconds, device.type == "cpu").encode())
        check_archive(unchecked, expected)


def file_names(names: list[str], pattern: str) -> list[str]:
    """Return the names of the images in the zip.

    Raises:
        ValueError: the pattern lacks ``{name}`` or the ending, or names clash or hold folders.
    """
    if "{name}" not in pattern or not pattern.lower().endswith(".png"):
        raise ValueError(f"--name {pattern}: expected {{name}} in it and .png behind")
    files = [pattern.replace("{name}", name) for name in names]
    in_folders = [file for file in files if "/" in file or "\\" in file]
    if in_folders:
        raise ValueError(
            f"images lie at the root of the zip, these would not: {first_few(in_folders)}"
        )
    twice = sorted({file for file in files if files.count(file) > 1})
    if twice:
        raise ValueError(f"more than one image would be called {first_few(twice)}")
    return files


def check_archive(file: Path, expected: dict[str, tuple[int, int]]) -> None:
    """Check count, names, sizes and dtype of what was written.

    Args:
        file: the zip.
        expected: (height, width) by name.

    Raises:
        ValueError: something differs; the message names the first few.
    """
    faults = []
    with zipfile.ZipFile(file) as archive:
        found = set(archive.namelist())
        if missing := sorted({*expected, README} - found):
            faults.append(f"{len(missing)} missing: {first_few(missing)}")
        if extra := sorted(found - {*expected, README}):
            faults.append(f"{len(extra)} that do not belong there: {first_few(extra)}")
        for name in sorted(found & set(expected)):
            data = np.frombuffer(archive.read(name), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            height, width = expected[name]
            if image is None or image.shape != (height, width, 3) or image.dtype != np.uint8:
                is_there = "no image" if image is None else f"{image.dtype} {image.shape}"
                faults.append(f"{name}: expected uint8 ({height}, {width}, 3), found {is_there}")
    if faults:
        raise ValueError(f"{file} is no valid submission:\n  " + "\n  ".join(faults[:5]))


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr = _UNIX, _PLAIN_FILE
    archive.writestr(info, data)  # stored: PNG is compressed already, and zlib's bytes vary
