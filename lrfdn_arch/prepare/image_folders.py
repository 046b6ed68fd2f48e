"""Finding images in folders, and choosing the ones to validate on."""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from lrfdn_arch.prepare.source_image import EXTENSIONS
from lrfdn_arch.text import first_few

Images = Mapping[str, Path]
Note = Callable[[str], object]

# Photographs in scikit-image's wheel, all free to use, by the names in skimage.data.
_PHOTOS = {
    "train": {
        "coffee": "coffee.png",
        "rocket": "rocket.jpg",
        "retina": "retina.jpg",
        "immunohistochemistry": "ihc.png",
        "hubble_deep_field": "hubble_deep_field.jpg",
        "motorcycle_left": "motorcycle_left.png",
        "motorcycle_right": "motorcycle_right.png",
    },
    "valid": {"astronaut": "astronaut.png", "chelsea": "chelsea.png"},
}


def find_images(folder: Path, note: Note = lambda text: None) -> dict[str, Path]:
    """Return the images in ``folder`` and below by name: the path inside it, without extension.

    Hidden files and folders are skipped. Entries that cannot be images are left out: broken links,
    devices, names that are not UTF-8; ``note`` is called with a line about them.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: two images have the same name.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise FileNotFoundError(f"{folder}: expected a folder of images, found {found}.")
    images, others, paths = dict[str, Path](), list[str](), list[Path]()
    errors: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(root, name) for name in files if not name.startswith(".")]
    for error in errors:
        note(f"{_printable(error.filename)}: left out: {error.strerror}")
    for path in sorted(paths):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in EXTENSIONS:
            others.append(inside.as_posix())
        elif problem := _problem(path):
            note(f"{_printable(path)}: left out: {problem}")
        elif (name := inside.with_suffix("").as_posix()) in images:
            raise ValueError(f"{images[name]} and {path} have the same name. Rename one of them.")
        else:
            images[name] = path
    if others:
        note(f"{folder}: not images, left out: {_printable(first_few(others))}")
    if not images:
        raise FileNotFoundError(
            f"{folder}: expected images ({', '.join(EXTENSIONS)}), found none in it."
        )
    return images


def find_in_folders(folders: Sequence[Path], note: Note) -> Images:
    """Do what `find_images` does for several folders; their names come first if there are more."""
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

    The held-out ones are evenly spread over the sorted names, so that every folder and every kind
    is represented, and the same images always give the same split.

    Raises:
        ValueError: ``count`` is below 1, or leaves nothing to train on.
    """
    if not 1 <= count < len(images):
        raise ValueError(
            f"--hold-out: expected a number from 1 to {len(images) - 1}, as there are "
            f"{len(images)} images; found {count}."
        )
    names = sorted(images)
    held = {names[(2 * index + 1) * len(names) // (2 * count)] for index in range(count)}
    train = {name: path for name, path in images.items() if name not in held}
    return train, {name: images[name] for name in held}


def find_photos(split: str) -> dict[str, Path]:
    """Return scikit-image's photographs of ``split`` (``train`` or ``valid``) by name.

    Raises:
        FileNotFoundError: scikit-image is not installed, or its wheel lacks one of them.
    """
    spec = find_spec("skimage")  # without importing it: only its files are needed
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The photographs come with scikit-image: pip install scikit-image")
    folder = Path(spec.origin).parent / "data"
    photos = {name: folder / file for name, file in _PHOTOS[split].items()}
    if missing := [str(path) for path in photos.values() if not path.exists()]:
        raise FileNotFoundError(
            f"{missing[0]}: expected a photograph of scikit-image 0.22 or newer, found none. "
            "Install it again: pip install --force-reinstall scikit-image"
        )
    return photos


def _problem(path: Path) -> str:
    """Return why ``path`` cannot be an image, empty if it can."""
    try:
        str(path).encode()
        return "" if stat.S_ISREG(path.stat().st_mode) else "not a regular file"
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    except OSError as error:
        return f"not readable: {error.strerror}"


def _printable(text: object) -> str:
    """Return ``text`` with escapes in place of bytes that are not UTF-8."""
    return str(text).encode(errors="backslashreplace").decode()
