"""Packing a list of images into LMDBs, HR and LR at once, with all cores and in bounded memory."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.image_files import read_regular
from lrfdn_arch.data.lmdb_reader import key_for
from lrfdn_arch.prepare import source_image
from lrfdn_arch.prepare.lmdb_writer import LmdbWriter, made_from, recover
from lrfdn_arch.prepare.source_image import SourceImage

CODECS = ("ppm", "png")
_AHEAD = 8  # images prepared while a commit waits for the disk: about what a commit holds
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Target:
    """One LMDB to make: the images themselves (scale 1) or made smaller by bicubic (1 / scale)."""

    path: Path
    scale: int = 1


@dataclass(frozen=True)
class PackOptions:
    """How images are stored.

    Attributes:
        codec: ``ppm`` (read without decoding) or ``png`` (about half the size).
        multiple: HR sides are cropped to a multiple of it; a multiple of every scale.
        grey: one channel instead of RGB.
        min_size: images whose shorter side has fewer HR pixels are left out.
        copies: factors between 0 and 1; every image is stored again that much smaller (MATLAB's
            bicubic), unless the copy would be smaller than ``min_size``.
        strict: an image that must be left out is an error.
    """

    codec: str = "ppm"
    multiple: int = 1
    grey: bool = False
    min_size: int = 1
    copies: tuple[float, ...] = ()
    strict: bool = False


@dataclass(frozen=True)
class Original:
    """An image file, and how much smaller than the file the stored image is."""

    path: Path
    factor: float = 1


@dataclass
class Packed:
    """What packing did: LMDBs made now, LMDBs there already, and the images left out."""

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    small_copies: int = 0


@dataclass(frozen=True)
class Reporter:
    """Whom packing tells how far it is (``advance``, in images) and what it changed (``note``)."""

    advance: Callable[[int], object] = lambda count: None
    note: Callable[[str], object] = lambda text: None


def pack(
    images: Mapping[str, Path],
    targets: Sequence[Target],
    options: PackOptions | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Packed:
    """Make every LMDB of ``targets`` from ``images``.

    An LMDB that is there and was made from the same images in the same way is kept. What an
    interrupted run has made is used. Every image that is changed or left out is reported by name.

    Args:
        images: image files by name (without extension).
        targets: the LMDBs to make.
        options: how the images are stored.
        overwrite: make LMDBs again that are there already.
        workers: threads, by default one per core this process may use.
        reporter: told of progress and of changed images.

    Raises:
        ValueError: options that contradict each other, a name that a copy needs too, or no image
            could be used.
        FileExistsError: an LMDB made from something else is there already.
        OSError: something cannot be read or written.
    """
    options, reporter = options or PackOptions(), reporter or Reporter()
    _check(images, targets, options)
    by_key = {key_for(name): Original(path) for name, path in sorted(images.items())}
    for factor in options.copies:
        copies = {
            f"{name}_{100 * factor:g}percent": Original(path, factor)
            for name, path in images.items()
        }
        if taken := sorted(copies.keys() & images.keys()):
            raise ValueError(f"{images[taken[0]]} has the name a smaller copy gets. Rename it.")
        by_key |= {key_for(name): copies[name] for name in sorted(copies)}
    packed = Packed()
    with ExitStack() as stack:
        writers: dict[Target, LmdbWriter] = {}
        for target in targets:
            job = describe_job(by_key, target, options)
            recover(target.path)
            if target.path.exists() and not overwrite and made_from(target.path) == job:
                packed.kept.append(target.path)
            else:
                writer = LmdbWriter(target.path, job, overwrite=overwrite)
                writers[target] = stack.enter_context(writer)
        missing = {
            key: [target for target, writer in writers.items() if key not in writer.done]
            for key in by_key
        }
        todo = [key for key in by_key if missing[key]]
        reporter.advance(len(by_key) - len(todo))

        def prepare(key: str) -> "_Prepared":
            return _prepare(by_key[key], missing[key], options)

        for key, prepared in zip(todo, _map_in_order(prepare, todo, workers), strict=True):
            _store(prepared, key, by_key[key], writers, options, packed, reporter)
        for target, writer in writers.items():
            if not writer.count:
                raise ValueError(
                    f"{target.path}: none of the {len(by_key)} images could be used (reasons above)"
                )
            writer.publish()
            packed.made.append(target.path)
    return packed


def describe_job(
    by_key: Mapping[str, Original], target: Target, options: PackOptions
) -> dict[str, Any]:
    """Return what identifies an LMDB: names and sizes of the image files, and all settings."""
    names = hashlib.sha256()
    for key, original in by_key.items():
        path = original.path
        names.update(f"{key} {path.suffix} {path.stat().st_size}\n".encode())
    settings = asdict(options)
    del settings["copies"]  # they show in the names
    return {
        **settings,
        "scale": target.scale,
        "images": len(by_key),
        "images_sha256": names.hexdigest(),
        "writer": 1,  # goes up when the same settings make other pixels
    }


@dataclass
class _Prepared:
    """The files of one image for its targets, or why there are none."""

    files: list[tuple[Target, bytes | bytearray, tuple[int, int, int]]]
    changes: list[str]
    problem: str = ""


def _check(images: Mapping[str, Path], targets: Sequence[Target], options: PackOptions) -> None:
    if not images:
        raise ValueError("There are no images to pack.")
    if options.codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, found {options.codec!r}.")
    if not all(0 < factor < 1 for factor in options.copies):
        raise ValueError(f"copies are made by factors between 0 and 1, found {options.copies}.")
    for target in targets:
        if options.multiple % target.scale:
            raise ValueError(
                f"{target.path}: images cropped to a multiple of {options.multiple} cannot be made "
                f"{target.scale} times smaller."
            )


def _prepare(original: Original, targets: Sequence[Target], options: PackOptions) -> _Prepared:
    try:
        data = read_regular(original.path)
        image = source_image.read(
            data, grey=options.grey, factor=original.factor, multiple=options.multiple
        )
    except ValueError as error:
        return _Prepared([], [], str(error))
    height, width = image.pixels.shape[:2]
    if min(height, width) < options.min_size:
        problem = f"{width}x{height} pixels, smaller than the {options.min_size} asked for"
        return _Prepared([], [], problem)
    files = []
    for target in targets:
        if target.scale == 1:
            scaled, file_read = image, data
        else:
            scaled, file_read = SourceImage(imresize(image.pixels, 1 / target.scale)), None
        file = source_image.encode(scaled, options.codec, file_read)
        files.append((target, file, scaled.pixels.shape))
    return _Prepared(files, image.changes)


def _store(
    prepared: _Prepared,
    key: str,
    original: Original,
    writers: Mapping[Target, LmdbWriter],
    options: PackOptions,
    packed: Packed,
    reporter: Reporter,
) -> None:
    path = original.path
    if original.factor != 1:  # what there is to say is said of the image itself
        packed.small_copies += bool(prepared.problem)
    elif prepared.problem:
        if options.strict:
            raise ValueError(f"{path}: {prepared.problem}. Replace the file and run this again.")
        packed.left_out.append(path.name)
        reporter.note(f"{path}: left out: {prepared.problem}")
    elif prepared.changes:
        reporter.note(f"{path}: {', '.join(prepared.changes)}")
    for target, file, shape in prepared.files:
        writers[target].put(key, file, shape, extension=options.codec)
    reporter.advance(1)


def _map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int | None
) -> Iterator[R]:
    """Like ``map`` with threads, which decoders let run, but never far ahead of the consumer."""
    workers = workers or _usable_cores()
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


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
