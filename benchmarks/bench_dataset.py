"""Samples per second at 640-pixel HR patches, against PairedImageDataset on a PNG LMDB.

Run: python benchmarks/bench_dataset.py
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import in_turns, machine, photographs, table, write_pngs
from torch.utils.data import DataLoader

import lrfdn_arch  # noqa: F401 (repairs what BasicSR's import needs)
from lrfdn_arch.data.lmdb_reader import open_reader
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.data.sampler import EndlessSampler, SampleKey
from lrfdn_arch.prepare.packing import PackOptions, Target, pack

PATCH, BATCH, SCALE = 640, 8, 4


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    from basicsr.data.paired_image_dataset import PairedImageDataset

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _make_lmdbs(root, arguments.images)
        datasets = {
            "PairedImageDataset, PNG": PairedImageDataset(_options(root, "png")),
            "PairedImageDataset, PPM": PairedImageDataset(_options(root, "ppm")),
            "ours, PNG, float32": PairedLMDBDataset(_options(root, "png")),
            "ours, PPM, float32": PairedLMDBDataset(_options(root, "ppm")),
            "ours, PPM, uint8": PairedLMDBDataset(_options(root, "ppm", output="uint8")),
        }
        print(machine())
        print(f"{arguments.images} images of 2040x1404, patches of {PATCH} HR pixels, x{SCALE}\n")
        alone = {name: _one_process(data, arguments.repeats) for name, data in datasets.items()}
        _print(alone, "one process: dataset[i]")
        loaded = {
            name: _with_workers(data, arguments.workers, arguments.repeats)
            for name, data in datasets.items()
        }
        _print(loaded, f"{arguments.workers} workers, batches of {BATCH} in shared memory")
        _print_floor(root)
        _print_checksums(root)


def _make_lmdbs(root: Path, count: int) -> None:
    paths = write_pngs(photographs(count), root / "images")
    for codec in ("ppm", "png"):
        targets = [Target(root / f"{codec}_HR.lmdb"), Target(root / f"{codec}_LR.lmdb", SCALE)]
        pack(paths, targets, PackOptions(codec, multiple=12))


def _options(root: Path, codec: str, **more: str) -> dict[str, Any]:
    return {
        "dataroot_gt": f"{root}/{codec}_HR.lmdb",
        "dataroot_lq": f"{root}/{codec}_LR.lmdb",
        "io_backend": {"type": "lmdb"},
        "gt_size": PATCH,
        "use_hflip": True,
        "use_rot": True,
        "scale": SCALE,
        "phase": "train",
        **more,
    }


def _keys(dataset: Any) -> Iterator[Any]:
    if isinstance(dataset, PairedLMDBDataset):
        return iter(EndlessSampler(len(dataset)))
    return chain.from_iterable(repeat(range(len(dataset))))


def _release(dataset: Any) -> None:
    # LMDB may be opened once per process, and a worker inherits what is open
    if isinstance(dataset, PairedLMDBDataset):
        dataset.close()
    else:
        dataset.file_client = None
        dataset.io_backend_opt["type"] = "lmdb"  # which it took out of the options it was given


def _one_process(dataset: Any, repeats: int) -> float:
    keys = _keys(dataset)
    count = 100 if isinstance(dataset, PairedLMDBDataset) and "ppm" in dataset.roots[0] else 6
    for key in islice(keys, len(dataset) if count > 6 else 2):
        dataset[key]
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for key in islice(keys, count):
            dataset[key]
        seconds.append((time.perf_counter() - start) / count)
    _release(dataset)
    return statistics.median(seconds)


def _with_workers(dataset: Any, workers: int, repeats: int) -> float:
    keys = [key if isinstance(key, SampleKey) else int(key) for key in islice(_keys(dataset), 6400)]
    loader = DataLoader(dataset, BATCH, sampler=keys, num_workers=workers)
    batches = iter(loader)
    fast = isinstance(dataset, PairedLMDBDataset) and "ppm" in dataset.roots[0]
    count = 32 if fast else 4
    list(islice(batches, 2 * workers + 4 if fast else 2))  # starts the workers, warms the cache
    seconds = []
    for _ in range(repeats if fast else max(3, repeats // 2)):
        start = time.perf_counter()
        for _batch in islice(batches, count):
            pass
        seconds.append((time.perf_counter() - start) / count / BATCH)
    del batches
    return statistics.median(seconds)


def _print(seconds: dict[str, float], title: str) -> None:
    base = next(iter(seconds.values()))
    rows = [[name, s * 1e3, 1 / s, base / s] for name, s in seconds.items()]
    print(table(rows, [title, "ms per sample", "samples/s", "times faster"]) + "\n")


def _print_checksums(root: Path) -> None:
    """Print what comparing every pair with its checksums adds, once in each worker."""
    readers = [open_reader(root / f"ppm_{kind}.lmdb") for kind in ("HR", "LR")]
    rounds = []
    for _ in range(2):  # the first round compares, the second does not
        start = time.perf_counter()
        for reader in readers:
            for info in reader.infos:
                sum(reader.file(info.key)[::4096])  # its pages are in memory in both rounds
        rounds.append((time.perf_counter() - start) / len(readers[0].infos))
    checked = (rounds[0] - rounds[1]) * 1e3
    print(f"checksums: {checked:.2f} ms a pair, so {3450 * checked / 1e3:.0f} s a worker for DF2K")


def _print_floor(root: Path) -> None:
    dataset = PairedLMDBDataset(_options(root, "ppm", output="uint8"))
    image = dataset[SampleKey(0, 0)]["gt"].permute(1, 2, 0).numpy()
    big = np.zeros((1404, 2040, 3), np.uint8)
    big[:PATCH, :PATCH] = image
    planes = torch.zeros((3, PATCH, PATCH), dtype=torch.uint8)
    torch.set_num_threads(1)
    seconds = in_turns(
        101,
        copy=lambda: np.ascontiguousarray(big[:PATCH, :PATCH]),
        floats=lambda: planes.to(torch.float32),
    )
    print(
        f"floor: copying the {PATCH}x{PATCH} rows out, no reordering: "
        f"{seconds['copy'] * 1e3:.2f} ms; to float32: {seconds['floats'] * 1e3:.2f} ms more"
    )
    print(f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
