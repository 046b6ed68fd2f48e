"""Packing a list of images into LMDBs or folders, HR and LR at once, on all cores."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.image_files import read_image_file
from lrfdn_arch.data.lmdb_reader import key_for
from lrfdn_arch.device import usable_cores
from lrfdn_arch.locks import locked
from lrfdn_arch.prepare import source_image
from lrfdn_arch.prepare.source_image import SourceImage
from lrfdn_arch.prepare.writers import (
    Bytes,
    FolderWriter,
    ImageWriter,
    LmdbWriter,
    Shape,
    explained,
)

_AHEAD = 8  # images prepared while a commit waits for the disk: about what a commit contains
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Target:
    """One set to write: the images themselves (scale 1) or made smaller by bicubic (1 / scale).

    A path that ends in ``.lmdb`` becomes an LMDB, any other a folder of PNG files
    ``<name><suffix>.png``.
    """

    path: Path
    scale: int = 1
    suffix: str = ""

    @property
    def writer(self) -> type[ImageWriter]:
        """The class that writes the set."""
        return LmdbWriter if self.path.suffix == ".lmdb" else FolderWriter

    def codec(self, options: "PackOptions") -> str:
        """Return how its images are stored."""
        return options.codec if self.writer is LmdbWriter else "png"


@dataclass(frozen=True)
class PackOptions:
    """How images are stored.

    Every image is stored again, made smaller by each factor of ``copies`` (between 0 and 1) by
    MATLAB's bicubic, unless the copy would be smaller than ``min_size``.
    """

    codec: str = "ppm"  # of an LMDB: ``ppm`` is read without decoding, ``png`` has half the size
    multiple: int = 1  # HR sides are cropped to a multiple of it; a multiple of every scale
    grey: bool = False  # one channel instead of RGB
    min_size: int = 1  # images whose shorter side has fewer HR pixels are left out
    copies: tuple[float, ...] = ()
    strict: bool = False  # an image that cannot be used is an error, instead of being left out


class _Original(NamedTuple):
    """An image file, and how much smaller than the file the stored image is."""

    path: Path
    factor: float = 1


@dataclass
class Packed:
    """Sets made now, sets that existed, and what happened to the images.

    ``changed`` has the names of the images by what was done to them.
    """

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    small_copies: int = 0
    changed: dict[str, list[str]] = field(default_factory=dict)


def pack(
    images: Mapping[str, Path],
    targets: Sequence[Target],
    options: PackOptions | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int], object] = lambda count: None,
    note: Callable[[str], object] = lambda text: None,
) -> Packed:
    """Write every set of ``targets`` from ``images``.

    A set that was made from the same images in the same way is kept; an interrupted run is resumed.

    Args:
        images: image files by name (without extension).
        targets: the sets to write.
        options: how the images are stored.
        overwrite: write sets again that exist.
        workers: threads, by default one per core this process may use.
        advance: called with the number of images that were finished.
        note: called with a line about every image that is left out.

    Raises:
        ValueError: no image could be used, or in ``strict`` one could not.
    """
    options, packed = options or PackOptions(), Packed()
    assert images and not any(options.multiple % target.scale for target in targets)
    by_key = _with_copies(images, options.copies)
    with ExitStack() as stack:
        writers: dict[Target, ImageWriter] = {}
        for target in targets:
            with explained(target.path):
                stack.enter_context(locked(target.path, "choose another folder"))
            job = _describe_job(by_key, target, options)
            if not overwrite and target.writer.made_from(target.path) == job:
                packed.kept.append(target.path)
            else:
                writer = target.writer(target.path, job, overwrite=overwrite, suffix=target.suffix)
                writers[target] = stack.enter_context(writer)
        missing = {key: [t for t, w in writers.items() if key not in w.done] for key in by_key}
        todo = [key for key in by_key if missing[key]]
        advance(len(by_key) - len(todo))

        def prepare(key: str) -> "_Prepared":
            return _prepare(by_key[key], missing[key], options)

        for key, prepared in zip(todo, _map_in_order(prepare, todo, workers), strict=True):
            path, factor = by_key[key]
            if factor != 1:  # the rest was recorded for the image itself
                packed.small_copies += bool(prepared.problem)
            elif prepared.problem:
                if options.strict:
                    raise ValueError(f"{path}: {prepared.problem}. Replace the file.")
                packed.left_out.append(path.name)
                note(f"{path}: left out: {prepared.problem}")
            for change in prepared.changes if factor == 1 else ():
                packed.changed.setdefault(change, []).append(str(path))
            for target, file, shape in prepared.files:
                writers[target].put(key, file, shape, target.codec(options))
            advance(1)
        for target, writer in writers.items():
            writer.commit()
            if not writer.done:
                raise ValueError(
                    f"{target.path}: none of the {len(by_key)} images could be used (reasons above)"
                )
            writer.publish()
            packed.made.append(target.path)
    return packed


def _describe_job(
    by_key: Mapping[str, _Original], target: Target, options: PackOptions
) -> dict[str, Any]:
    """Return what identifies a set: names and sizes of the image files, and all settings."""
    names = hashlib.sha256()
    for key, (path, _) in by_key.items():
        names.update(f"{key} {path.suffix} {path.stat().st_size}\n".encode())
    settings = asdict(options)
    del settings["copies"]  # they show in the names
    if target.writer is FolderWriter:
        settings |= {"codec": "png", "suffix": target.suffix}
    return {
        **settings,
        "scale": target.scale,
        "images": len(by_key),
        "images_sha256": names.hexdigest(),
        "writer": 1,  # to be raised when the same settings produce other pixels
    }


class _Prepared(NamedTuple):
    """The files of one image for its targets, or why there are none."""

    files: list[tuple[Target, Bytes, Shape]]
    changes: list[str]
    problem: str = ""


def _with_copies(images: Mapping[str, Path], factors: Sequence[float]) -> dict[str, _Original]:
    """Return the images and their smaller copies by key."""
    if not all(0 < factor < 1 for factor in factors):
        raise ValueError(f"copies are made by factors between 0 and 1, found {factors}.")
    by_key = {key_for(name): _Original(path) for name, path in sorted(images.items())}
    for factor in factors:
        for name, path in sorted(images.items()):
            copy = f"{name}_{100 * factor:g}percent"
            if copy in images:
                raise ValueError(f"{images[copy]} has the name a smaller copy gets. Rename it.")
            by_key[key_for(copy)] = _Original(path, factor)
    return by_key


def _prepare(original: _Original, targets: Sequence[Target], options: PackOptions) -> _Prepared:
    try:
        data = read_image_file(original.path)
        image = source_image.read(
            data, grey=options.grey, factor=original.factor, multiple=options.multiple
        )
        height, width = image.pixels.shape[:2]
        if min(height, width) < options.min_size:
            raise ValueError(f"{width}x{height} pixels, smaller than {options.min_size}")
        files = []
        for target in targets:
            scaled, source = image, data
            if target.scale != 1:
                scaled, source = SourceImage(imresize(image.pixels, 1 / target.scale)), None
            file = source_image.encode(scaled, target.codec(options), source)
            files.append((target, file, scaled.pixels.shape))
    except MemoryError:
        return _Prepared([], [], "it needs more memory than is available")
    except OSError as error:
        return _Prepared([], [], error.strerror or str(error))
    except ValueError as error:
        return _Prepared([], [], str(error).removeprefix(f"{original.path}: "))
    return _Prepared(files, image.changes)


def _map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int | None
) -> Iterator[R]:
    """Like ``map`` with threads, which decoders let run, but never far ahead of the consumer."""
    workers = workers or usable_cores()
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers + _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
