"""Tiles give what the whole image gives."""

import re
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from repository import RELEASED, REPOSITORY
from small_networks import released, small

from lrfdn_arch.inference.runtimes import Floats, open_runtime
from lrfdn_arch.inference.tiling import spans, upscale_in_bands
from lrfdn_arch.upscale.picture import Picture
from lrfdn_arch.upscale.upscaler import PictureUpscaler, automatic_tile
from lrfdn_arch.window import GRID, Window, cells


@pytest.mark.parametrize("length", [1, 14, 100, 101, 199, 1000])
@pytest.mark.parametrize(("tile", "overlap"), [(48, 0), (48, 36), (64, 13), (128, 96)])
def test_spans_cover_everything_on_the_grid(length: int, tile: int, overlap: int) -> None:
    found = spans(length, tile, overlap)
    assert found[0].start == 0
    assert found[-1].stop == length
    assert all(span.start % GRID == 0 and span.stop - span.start <= tile for span in found)
    for before, after in pairwise(found):
        assert before.stop - after.start >= overlap
    assert len(found) == 1 or found[-1].stop - found[-1].start >= 15


def test_a_tile_no_larger_than_its_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="must exceed its overlap"):
        spans(500, 64, 60)


@pytest.mark.parametrize("length", [15, 16, 20, 21, 33, 100, 481])
def test_cells_are_what_the_attention_makes(length: int) -> None:
    a = torch.zeros(1, 1, length, 15)
    p = torch.max_pool2d(torch.conv2d(a, torch.zeros(1, 1, 3, 3), stride=2), 7, 3)
    assert cells(length) == p.shape[2]


def noise(*shape: int) -> Floats:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@dataclass
class Nearest:
    """A runtime that repeats pixels: its tiles are exact whatever the overlap."""

    scale: int = 2
    channels: int = 3
    num_feat: int = 8
    name: str = "nearest"
    precision: str = "fp32"
    device: str = "cpu"
    knows_windows: bool = False
    overlap: int | None = None

    def __call__(self, lq: Floats, window: Window | None = None) -> Floats:
        return lq.repeat(self.scale, 2).repeat(self.scale, 3)


@pytest.mark.parametrize("overlap", [0, 7, 30])
def test_bands_and_blending_add_up_to_the_image(overlap: int) -> None:
    lq = noise(3, 131, 160)
    bands = list(upscale_in_bands(Nearest(), lq, tile=48, overlap=overlap))
    assert len(bands) > 1
    np.testing.assert_allclose(np.concatenate(bands, 1), Nearest()(lq[None])[0], atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", ["LRFDN", "RFDN", "RLFN", "SPAN"])
@pytest.mark.parametrize("runtime_name", ["eager", "onnx", "openvino"])
def test_tiles_with_the_whole_field_of_view_are_exact(name: str, runtime_name: str) -> None:
    # Two blocks see half as far as four; noise hides nothing.
    runtime = open_runtime(small(name), runtime_name, device="cpu")
    lq = noise(3, 250, 211)
    whole = runtime(lq[None])[0]
    tiled = np.concatenate(list(upscale_in_bands(runtime, lq, tile=210, overlap=160)), 1)
    np.testing.assert_allclose(tiled, whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_windows_the_attention_is_stretched_wrongly() -> None:
    # What the windows are for: the same tiles without them are a hundred times as far off.
    runtime = open_runtime(small("LRFDN"), "eager", device="cpu")
    lq = noise(3, 250, 100)
    whole = runtime(lq[None])[0]
    with_windows = np.concatenate(list(upscale_in_bands(runtime, lq, tile=210, overlap=160)), 1)
    runtime.knows_windows = False
    without = np.concatenate(list(upscale_in_bands(runtime, lq, tile=210, overlap=160)), 1)
    assert np.abs(without - whole).max() > 100 * np.abs(with_windows - whole).max()


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize(("overlap", "bound"), [(96, 2e-3), (128, 5e-5), (304, 5e-6)])
def test_released_weights_in_tiles(shared: Path, name: str, overlap: int, bound: float) -> None:
    with Image.open(shared / "data" / "BSDS200" / "164074.webp") as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    lq = np.ascontiguousarray(pixels.transpose(2, 0, 1)[:, :200])
    runtime = open_runtime(released(shared, name), "eager", device="cpu")
    whole = runtime(lq[None])[0]
    bands = upscale_in_bands(runtime, lq, tile=max(192, overlap + 60), overlap=overlap)
    assert np.abs(np.concatenate(list(bands), 1) - whole).max() < bound


def test_automatic_tiles_follow_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, memory = Nearest(num_feat=64), [8 << 30]
    monkeypatch.setattr("lrfdn_arch.upscale.upscaler.free_memory", lambda device: memory[0])
    assert automatic_tile(300, 500, runtime) == 500, "it fits as a whole"
    assert 256 < automatic_tile(8000, 6000, runtime) <= 2048
    memory[0] = 1 << 20
    assert automatic_tile(300, 500, runtime) == 256


def test_pictures_in_tiles_keep_grey_alpha_and_depth() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (70, 90, 2), dtype=np.uint16)
    result = PictureUpscaler(Nearest(), tile=48, overlap=12)(Picture(pixels, b"profile"))
    assert result.icc == b"profile"
    np.testing.assert_array_equal(result.pixels, pixels.repeat(2, 0).repeat(2, 1))


def test_automatic_tiles_follow_the_memory_of_the_runtimes_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = {"cpu": 1 << 40, "cuda": 4 << 30}
    monkeypatch.setattr(
        "lrfdn_arch.upscale.upscaler.free_memory", lambda device: free[device.partition(":")[0]]
    )
    runtime = open_runtime(small("LRFDN", num_feat=64), device="cpu")
    assert automatic_tile(8000, 6000, runtime) == 2048
    monkeypatch.setattr(runtime, "device", "cuda:1")
    found = automatic_tile(8000, 6000, runtime, held=2 << 30)
    assert 256 < found < 1024
    assert found == automatic_tile(8000, 6000, runtime), "the result is in main memory"


def test_automatic_tiles_leave_room_for_the_result_and_for_wide_bands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Nearest(num_feat=64)
    monkeypatch.setattr("lrfdn_arch.upscale.upscaler.free_memory", lambda device: 4 << 30)
    tile = automatic_tile(8000, 6000, runtime)
    assert automatic_tile(8000, 6000, runtime, held=2 << 30) < tile
    wide = automatic_tile(600, 80_000, runtime)
    assert wide < tile
    band = 12 * wide * 80_000 * runtime.scale**2
    assert band < 2 << 30 or wide == 256


def test_channels_the_network_lacks_are_made() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    result = PictureUpscaler(Nearest(channels=1), tile=0)(Picture(pixels)).pixels
    mean = np.repeat(np.rint(pixels.mean(axis=2)), 2, 0).repeat(2, 1)
    assert result.shape == (40, 40, 3)
    assert np.abs(result - mean[..., None]).max() <= 1
    assert (result == result[..., :1]).all()


@pytest.mark.slow
def test_a_result_is_held_once_beside_its_bands() -> None:
    # Of 1500x1500 to 3000x3000: 27 MB, and 108 MB as floats; two more of those would be 351.
    code = """
import resource, sys
sys.path.insert(0, "tests")
import numpy as np
from inference.test_tiling import Nearest, Picture, PictureUpscaler
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
upscaler = PictureUpscaler(Nearest(), tile=0)
upscaler(Picture(np.ones((50, 50, 3), np.uint8)))
picture = Picture(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8))
before = peak()
upscaler(picture)
print(peak() - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 280


@dataclass
class Exhausted(Nearest):
    """A runtime for which memory runs out on more than 48 rows."""

    error: Exception = field(default_factory=RuntimeError)

    def __call__(self, lq: Floats, window: Window | None = None) -> Floats:
        if lq.shape[2] > 48:
            raise self.error
        return super().__call__(lq, window)


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory",
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79 GiB",
        "[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer of size 1",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "std::bad_alloc",
    ],
)
def test_memory_that_runs_out_is_one_kind_of_error(text: str) -> None:
    picture = Picture(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8))
    with pytest.raises(MemoryError, match=re.escape(text)):
        PictureUpscaler(Exhausted(error=RuntimeError(text)), tile=0)(picture)
    PictureUpscaler(Exhausted(), tile=48, overlap=12)(picture)


def test_other_errors_of_a_runtime_stay_what_they_are() -> None:
    picture = Picture(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8))
    with pytest.raises(RuntimeError, match="illegal instruction"):
        PictureUpscaler(Exhausted(error=RuntimeError("illegal instruction")), tile=0)(picture)


@dataclass
class Stale(Nearest):
    """A runtime that gives the result of its first image ever after, as OpenVINO does."""

    first: Floats | None = None

    def __call__(self, lq: Floats, window: Window | None = None) -> Floats:
        self.first = super().__call__(lq) if self.first is None else self.first
        return self.first


def test_a_result_of_another_size_is_no_result() -> None:
    upscale = PictureUpscaler(Stale(), tile=0)
    random = np.random.default_rng(0)
    upscale(Picture(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)))
    with pytest.raises(MemoryError, match=r"gave \(1, 3, 40, 40\) in place of \(1, 3, 60, 60\)"):
        upscale(Picture(random.integers(0, 256, (30, 30, 3), dtype=np.uint8)))
