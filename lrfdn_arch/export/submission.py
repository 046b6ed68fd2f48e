"""The zip file for the challenge server: images and ``readme.txt`` at its root, reproducible.

The kits do not document a format; this follows public submissions to NTIRE tracks.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from lrfdn_arch.device import float32_arithmetic
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.image_set import ImageSet, Pair, inspect, samples
from lrfdn_arch.evaluation.images import Image, encode_png
from lrfdn_arch.evaluation.measure import Sample, measure
from lrfdn_arch.files import check_new, replacing
from lrfdn_arch.text import first_few

README = "readme.txt"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date in a zip; a real date would change the bytes
_UNIX, _PLAIN_FILE = 3, 0o100644 << 16


@dataclass(frozen=True)
class Form:
    """The contents of ``readme.txt``.

    Attributes:
        description: free text on one line.
        extra_data: whether training used data other than the challenge's.
        runtime_s: seconds per image; None to measure it while the images are upscaled.
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
    """Upscale every LR image and write ``out``, after checking its contents.

    The same images, weights and ``form.runtime_s`` give the same bytes. Without ``runtime_s`` the
    runtime is measured as in the kit: the mean of all forward passes, including the first.

    Args:
        competitor: the network.
        image_set: the images; ground truth is not used.
        out: the zip file.
        form: the contents of ``readme.txt``.
        device: where the network runs.
        pattern: file name of an image in the zip, with ``{name}`` for the HR name.
        overwrite: replace an existing file.
        on_image: called after each image.

    Raises:
        FileExistsError: ``out`` exists and ``overwrite`` is off.
        OSError: ``out`` is a folder, or cannot be written.
        ValueError: images are damaged, names clash, or a name contains a folder.
    """
    check_new(out, overwrite=overwrite)
    if len(form.description.splitlines()) > 1:
        raise ValueError("the description of a submission is one line of readme.txt")
    names = file_names([pair.name for pair in image_set.pairs], pattern)
    inspect(image_set, competitor.scale)
    out.parent.mkdir(parents=True, exist_ok=True)
    expected: dict[str, tuple[int, int]] = {}
    files = {p.name: file for p, file in zip(image_set.pairs, names, strict=True)}
    with replacing(out) as unchecked:
        with zipfile.ZipFile(unchecked, "w") as archive, float32_arithmetic():

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
        ValueError: the pattern lacks ``{name}`` or the ending, or names clash or contain folders.
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
    """Check count, names, sizes and dtype of the images in the zip.

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
            faults.append(f"{len(extra)} unexpected: {first_few(extra)}")
        for name in sorted(found & set(expected)):
            data = np.frombuffer(archive.read(name), np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            height, width = expected[name]
            if image is None or image.shape != (height, width, 3) or image.dtype != np.uint8:
                is_there = "no image" if image is None else f"{image.dtype} {image.shape}"
                faults.append(f"{name}: expected uint8 ({height}, {width}, 3), found {is_there}")
    if faults:
        raise ValueError(f"{file} is not a valid submission:\n  " + "\n  ".join(faults[:5]))


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr = _UNIX, _PLAIN_FILE
    archive.writestr(info, data)  # stored: PNG is compressed already, and zlib's bytes vary
