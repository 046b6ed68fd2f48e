"""From images to the LMDBs that option files name: ``{train,valid}_HR.lmdb``, ``.._LR_x4.lmdb``."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import lcm
from pathlib import Path

from lrfdn_arch.data.lmdb_reader import DATA, read_meta_info
from lrfdn_arch.prepare.packing import Packed, PackOptions, Reporter, Target, pack
from lrfdn_arch.prepare.source_image import EXTENSIONS

# The photographs in scikit-image's wheel, all free to use; each is one file in skimage/data.
PHOTOS = {
    "train": (
        "coffee.png",
        "rocket.jpg",
        "retina.jpg",
        "ihc.png",
        "hubble_deep_field.jpg",
        "motorcycle_left.png",
        "motorcycle_right.png",
    ),
    "valid": ("astronaut.png", "chelsea.png"),
}
PHOTO_NAMES = {"ihc": "immunohistochemistry"}  # what skimage.data calls it
Images = Mapping[str, Path]


@dataclass(frozen=True)
class Settings:
    """What every ``prepare`` command can be told.

    Attributes:
        scales: which LR images to make.
        codec: ``ppm`` or ``png``.
        grey: one channel instead of RGB.
        min_size: images whose shorter side has fewer pixels are left out.
        overwrite: replace LMDBs that are there already.
        workers: threads; None for one per core.
    """

    scales: Sequence[int] = (4,)
    codec: str = "ppm"
    grey: bool = False
    min_size: int = 1
    overwrite: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 2:
            raise ValueError(f"--scale takes whole numbers from 2, found {list(self.scales)}.")


def targets(out: Path, split: str, scales: Sequence[int]) -> list[Target]:
    """Return the LMDBs of ``split`` (``train`` or ``valid``) under ``out``, HR first."""
    lr = [Target(out / f"{split}_LR_x{scale}.lmdb", scale) for scale in sorted(set(scales))]
    return [Target(out / f"{split}_HR.lmdb"), *lr]


def make_split(
    images: Images,
    out: Path,
    split: str,
    settings: Settings,
    reporter: Reporter,
    *,
    copies: Sequence[float] = (),
    multiple: int = 1,
    strict: bool = False,
) -> Packed:
    """Make the LMDBs of one split.

    Args:
        images: image files by name.
        out: folder of the LMDBs.
        split: ``train`` or ``valid``.
        settings: of the command.
        reporter: told of progress and changed images.
        copies: factors of smaller copies that are stored beside every image.
        multiple: HR is cropped to a multiple of it and of every scale.
        strict: an image that cannot be used is an error.
    """
    options = PackOptions(
        codec=settings.codec,
        multiple=lcm(multiple, *settings.scales),
        grey=settings.grey,
        min_size=settings.min_size,
        copies=tuple(copies),
        strict=strict,
    )
    return pack(
        images,
        targets(out, split, settings.scales),
        options,
        overwrite=settings.overwrite,
        workers=settings.workers,
        reporter=reporter,
    )


def find_images(folder: Path, note: Callable[[str], object] = lambda text: None) -> dict[str, Path]:
    """Return the images in ``folder`` and below by name: the path inside it, without extension.

    Args:
        folder: where to look; hidden files and folders are passed over.
        note: told of files that are no images.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: two images have the same name.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder of images, found nothing there.")
    images: dict[str, Path] = {}
    others = []
    for path in sorted(_files_below(folder)):
        if path.suffix.lower() not in EXTENSIONS:
            others.append(path.relative_to(folder).as_posix())
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in images:
            raise ValueError(f"{images[name]} and {path} have the same name. Rename one of them.")
        images[name] = path
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        note(f"{folder}: not images, left out: {', '.join(others[:5])}{more}")
    if not images:
        raise FileNotFoundError(
            f"{folder}: expected images ({', '.join(EXTENSIONS)}), found none in it."
        )
    return images


def find_in_folders(folders: Sequence[Path], note: Callable[[str], object]) -> Images:
    """Return the images of several folders by name, led by the folder's name if it is not alone.

    Raises:
        FileNotFoundError: a folder is missing, or has no image in it.
        ValueError: two images have the same name.
    """
    if len(folders) == 1:
        return find_images(folders[0], note)
    images: dict[str, Path] = {}
    for folder in folders:
        found = find_images(folder, note)
        named = {f"{folder.resolve().name}/{name}": path for name, path in found.items()}
        if twice := sorted(images.keys() & named.keys()):
            raise ValueError(
                f"{images[twice[0]]} and {named[twice[0]]} have the same name. Give each folder "
                "once, and rename folders of the same name."
            )
        images |= named
    return images


def hold_out(images: Images, count: int) -> tuple[Images, Images]:
    """Split ``images`` into those to train on and ``count`` to validate on.

    The ones held out are evenly spread over the sorted names, so that every folder and every kind
    gets its share, and the same images always give the same split.

    Raises:
        ValueError: ``count`` is below 1, or leaves nothing to train on.
    """
    if not 1 <= count < len(images):
        raise ValueError(
            f"--hold-out takes a number from 1 to {len(images) - 1}, as there are {len(images)} "
            f"images; found {count}."
        )
    names = sorted(images)
    held = {names[(2 * index + 1) * len(names) // (2 * count)] for index in range(count)}
    train = {name: path for name, path in images.items() if name not in held}
    return train, {name: images[name] for name in held}


def _files_below(folder: Path) -> list[Path]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in files if not name.startswith(".")]
    return found


def find_photos(split: str) -> dict[str, Path]:
    """Return scikit-image's photographs of ``split`` by name.

    Raises:
        FileNotFoundError: scikit-image is not installed, or its wheel lacks one of them.
    """
    spec = find_spec("skimage")  # without importing it: only its files are wanted
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The photographs come with scikit-image: pip install scikit-image")
    folder = Path(spec.origin).parent / "data"
    photos = {}
    for file in PHOTOS[split]:
        path, stem = folder / file, Path(file).stem
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: expected a photograph of scikit-image 0.22 or newer, found none. Install "
                "it again: pip install --force-reinstall scikit-image"
            )
        photos[PHOTO_NAMES.get(stem, stem)] = path
    return photos


def describe(path: Path) -> str:
    """Return one line about LMDB ``path``: name, number of images, size on disk."""
    size = (path / DATA).stat().st_size
    unit = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
    return f"{path} ({len(read_meta_info(path))} images, {unit})"
