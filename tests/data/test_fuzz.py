"""Damaged images and LMDBs, by the thousand: a clear error or a right result, nothing else."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_lmdbs import photograph

from lrfdn_arch.data.lmdb_reader import open_reader
from lrfdn_arch.prepare import source_image
from lrfdn_arch.prepare.verify import verify_images

PAGE = 4096
ENCODINGS = {
    "PNG": {},
    "JPEG": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "PPM": {},
}
SEEDED = settings(
    max_examples=600,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def flips(size: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Up to 20 bits, as (byte, bit), half of them in the first 200 bytes."""
    byte = st.integers(0, size - 1) | st.integers(0, min(size, 200) - 1)
    return st.lists(st.tuples(byte, st.integers(0, 7)), min_size=1, max_size=20)


def flipped(data: bytes, bits: list[tuple[int, int]], offset: int = 0) -> bytes:
    changed = bytearray(data)
    for byte, bit in bits:
        changed[offset + byte] ^= 1 << bit
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ENCODINGS)
def test_a_damaged_image_is_a_value_error_or_an_image(kind, monkeypatch):
    monkeypatch.setenv("LRFDN_MAX_PIXELS", "1000000")
    file = io.BytesIO()
    Image.fromarray(photograph(40, 50)).save(file, kind, **ENCODINGS[kind])
    data = file.getvalue()

    @SEEDED
    @given(bits=flips(len(data)), length=st.just(len(data)) | st.integers(0, len(data)))
    def check(bits: list[tuple[int, int]], length: int) -> None:
        try:
            pixels = source_image.read(flipped(data, bits)[:length]).pixels
        except ValueError:
            return
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3

    check()


@pytest.mark.slow
def test_a_damaged_lmdb_is_a_value_error_or_gives_the_right_images(make_lmdb, tmp_path: Path):
    images = {f"im{n:02}": photograph(20 + n, 30, seed=n) for n in range(12)}
    path, copy = make_lmdb("a.lmdb", images), tmp_path / "copy.lmdb"
    data = (path / "data.mdb").read_bytes()
    shutil.copytree(path, copy)
    pages = range(len(data) // PAGE)
    structure = [page for page in pages if data[PAGE * page + 10] & 0b1011]

    @SEEDED
    @given(page=st.sampled_from(structure) | st.sampled_from(pages), bits=flips(PAGE))
    def check(page: int, bits: list[tuple[int, int]]) -> None:
        (copy / "data.mdb").unlink()  # another file, so that nothing open is shared
        (copy / "data.mdb").write_bytes(flipped(data, bits, PAGE * page))
        try:
            verify_images(copy)
        except ValueError as error:
            assert str(copy) in str(error)
        else:
            for info, image in open_reader(copy).images():
                np.testing.assert_array_equal(image, images[info.key])

    check()
