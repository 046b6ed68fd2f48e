"""Damaged and hostile weights files are refused in one line, whichever byte was changed."""

import hashlib
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import loaded
from test_download import Server, server

from lrfdn_arch import entry
from lrfdn_arch.archs import ARCHITECTURES, LRFDN, lookup
from lrfdn_arch.archs.architecture import Released
from lrfdn_arch.cli import main
from lrfdn_arch.export.files import export_network
from lrfdn_arch.weights import find_weights, load_network, read_state_dict

__all__ = ["server"]  # a fixture


def network() -> LRFDN:
    torch.manual_seed(0)
    return LRFDN(num_feat=8, num_block=1, upscale=2)


def save_pth(path: Path) -> None:
    torch.save({"params": network().state_dict()}, path)


def save_safetensors(path: Path) -> None:
    export_network("safetensors", loaded(network()), path)


@pytest.mark.parametrize(
    ("suffix", "save"), [(".pth", save_pth), (".safetensors", save_safetensors)]
)
def test_a_flipped_bit_is_never_accepted(
    tmp_path: Path, suffix: str, save: Callable[[Path], None]
) -> None:
    file = tmp_path / f"a{suffix}"
    save(file)
    whole, random = file.read_bytes(), Random(0)
    expected = load_network(file).network.state_dict()
    harmless = 0
    for _ in range(60):
        data = bytearray(whole)
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        file.write_bytes(data)
        try:
            state = load_network(file).network.state_dict()
        except ValueError as error:
            assert str(file) in str(error)
        else:  # a bit of padding, of a date or of the text that names the source
            harmless += 1
            assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert harmless <= 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "save"), [(".pth", save_pth), (".safetensors", save_safetensors)]
)
def test_a_changed_file_is_refused_or_holds_the_same_weights(
    tmp_path: Path, suffix: str, save: Callable[[Path], None]
) -> None:
    file = tmp_path / f"a{suffix}"
    save(file)
    whole, expected = file.read_bytes(), load_network(file).network.state_dict()
    place = st.integers(0, len(whole)) | st.integers(0, 1000) | st.integers(-1000, -1)

    @settings(max_examples=600, derandomize=True, deadline=None, database=None)
    @given(edits=st.lists(st.tuples(place, st.integers(0, 30), st.binary(max_size=30)), min_size=1))
    def check(edits: list[tuple[int, int, bytes]]) -> None:
        data = bytearray(whole)
        for start, length, new in edits:
            start %= len(data) or 1
            data[start : start + length] = new
        file.write_bytes(data)
        try:
            state = load_network(file).network.state_dict()
        except ValueError as error:
            assert str(file) in str(error)
        else:
            assert all(torch.equal(state[name], value) for name, value in expected.items())

    check()


@pytest.mark.slow
def test_any_content_is_a_network_or_refused(tmp_path: Path) -> None:
    state, numbers = network().state_dict(), st.integers(-3, 2**40) | st.floats() | st.text()
    tensors = st.builds(
        lambda shape, dtype, value: torch.full(shape, value, dtype=dtype),
        st.lists(st.integers(0, 9), max_size=5),
        st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool]),
        st.sampled_from([0, 1]),
    )
    sections = st.dictionaries(
        st.sampled_from(["type", "num_feat", "num_block", "upscale", "img_range", "x"]),
        st.sampled_from(["LRFDN", "RFDN", "EDSR"]) | numbers | st.none(),
    )

    @settings(max_examples=300, derandomize=True, deadline=None, database=None)
    @given(
        st.dictionaries(st.sampled_from([*state]) | st.text(), tensors | numbers, max_size=4),
        st.sets(st.sampled_from([*state])),
        sections | tensors | st.none(),
    )
    def check(changed: dict[str, Any], removed: set[str], section: Any) -> None:
        content = {k: v for k, v in (state | changed).items() if k not in removed}
        torch.save({"params": content, "network_g": section}, tmp_path / "a.pth")
        try:
            found = load_network(tmp_path / "a.pth").network
        except ValueError as error:
            assert str(tmp_path / "a.pth") in str(error)
        else:
            assert all(value.isfinite().all() for value in found.state_dict().values())

    check()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    state = network().state_dict()
    state["B1.c4.weight"][0, 0, 0, 0] = value
    torch.save(state, tmp_path / "a.pth")
    weights, out = str(tmp_path / "a.pth"), str(tmp_path / "out")
    lr = tmp_path / "lr"
    lr.mkdir()
    for command in (
        ["upscale", str(lr), "--weights", weights],
        ["challenge", "--model", weights, "--lr", str(lr), "--out", out],
        ["submit", "--model", weights, "--kit", "--team", "1", "--out", out],
        ["export", "onnx", "--weights", weights, "--out", out],
    ):
        (lr / "a.png").write_bytes(PNG)
        assert entry.run(main, command) == 2
        assert "B1.c4.weight contains NaN or infinity" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth", "lr"]


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


def test_a_view_that_claims_more_than_the_file_is_refused_before_it_is_allocated(
    tmp_path: Path,
) -> None:
    torch.save({"params": {"a": torch.zeros(1).expand(10**11)}}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="claim more than the file can hold"):
        read_state_dict(tmp_path / "a.pth")


def test_a_compressed_archive_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    save_pth(tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry_ in whole.infolist():
            bomb.writestr(entry_.filename, bytes(10_000_000))
    with pytest.raises(ValueError, match="without compression"):
        read_state_dict(tmp_path / "bomb.pth")


@pytest.mark.parametrize("tensor", [torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64)])
def test_tensors_of_another_kind_are_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"a": tensor}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a is (not a plain|complex)"):
        read_state_dict(tmp_path / "a.pth")


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes weights known as released:Tiny, at the address of a local server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "web").mkdir()
    save_pth(tmp_path / "web/tiny.pth")
    sha256 = hashlib.sha256((tmp_path / "web/tiny.pth").read_bytes()).hexdigest()

    def known(url: str) -> str:
        released = ARCHITECTURES["LRFDN"], Released("Tiny", sha256, "", url)
        monkeypatch.setattr(lookup, "RELEASED", {sha256: released})
        return "released:tiny"

    return known


def test_released_weights_are_downloaded_once_by_name(
    tmp_path: Path, released: Callable[[str], str], server: Server
) -> None:
    server.content = (tmp_path / "web/tiny.pth").read_bytes()
    name = released(server.url("tiny.pth"))
    first = find_weights(name)
    server.status = [500] * 20
    assert first.parent == tmp_path / "cache/lrfdn/released"
    assert load_network(find_weights(name)).scale == 2, "the file is cached"
    assert len(server.asked) == 1


def test_released_weights_without_a_network_are_one_line(
    tmp_path: Path, released: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrfdn_arch.download._RETRIES", 0)
    name = released("http://127.0.0.1:9/tiny.pth")
    with pytest.raises(OSError, match=r"the released Tiny cannot be downloaded: .* by other means"):
        find_weights(name)
    with pytest.raises(FileNotFoundError, match="no released weights are called Other"):
        find_weights("released:Other")


def test_thousands_of_block_names_are_refused_before_blocks_are_built(tmp_path: Path) -> None:
    state = dict(network().state_dict())
    state |= {f"B{number}.c5.bias": torch.zeros(8) for number in range(2, 20_000)}
    torch.save(state, tmp_path / "a.pth")
    began = time.monotonic()
    with pytest.raises(ValueError, match="19999 blocks cannot have"):
        load_network(tmp_path / "a.pth")
    assert time.monotonic() - began < 20
