"""Weights are read safely, loaded strictly, and every mistake is named."""

import warnings
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import save_file
from small_networks import loaded

from lrfdn_arch.archs import LRFDN, RFDN, recognize
from lrfdn_arch.export.files import export_network
from lrfdn_arch.weights import load_into, load_network, network_from_state, read_state_dict


def tiny() -> LRFDN:
    return LRFDN(num_feat=8, num_block=2, upscale=3)


def assert_same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    differing = [k for k, v in network.state_dict().items() if not torch.equal(v, state[k])]
    assert not differing


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_plain_state_dict_loads(tmp_path: Path, suffix: str) -> None:
    source, target, file = tiny(), tiny(), tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(source.state_dict(), file)
    load_into(target, file)
    assert_same(target, source.state_dict())


def test_a_checkpoint_gives_ema_by_default_and_raw_on_request(tmp_path: Path) -> None:
    raw, ema, target, file = tiny(), tiny(), tiny(), tmp_path / "net_g.pth"
    torch.save({"params": raw.state_dict(), "params_ema": ema.state_dict()}, file)
    load_into(target, file)
    assert_same(target, ema.state_dict())
    load_into(target, file, "params")
    assert_same(target, raw.state_dict())


def test_a_checkpoint_without_ema_gives_raw_and_says_what_it_lacks(tmp_path: Path) -> None:
    raw, file = tiny(), tmp_path / "net_g.pth"
    torch.save({"params": raw.state_dict()}, file)
    assert read_state_dict(file).keys() == raw.state_dict().keys()
    with pytest.raises(ValueError, match=r"has no 'params_ema'; it has params"):
        read_state_dict(file, "params_ema")


def test_prefixes_of_wrappers_are_taken_off(tmp_path: Path) -> None:
    raw, file = tiny(), tmp_path / "ddp.pth"
    wrapped = {f"module._orig_mod.{k}": v for k, v in raw.state_dict().items()}
    torch.save({"params": wrapped}, file)
    assert read_state_dict(file).keys() == raw.state_dict().keys()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*absent\.pth"):
        read_state_dict(tmp_path / "absent.pth")


def test_weights_of_another_network_say_what_they_seem_to_be(tmp_path: Path) -> None:
    target, file = tiny(), tmp_path / "rfdn.pth"
    before = {k: v.clone() for k, v in target.state_dict().items()}
    torch.save(RFDN().state_dict(), file)
    with pytest.raises(ValueError) as caught:
        load_into(target, file)
    message = str(caught.value)
    assert "does not fit LRFDN" in message
    assert "the file seems to hold RFDN x4 (50 channels, 4 blocks)" in message
    assert "fea_conv.weight expected (8, 3, 3, 3), found (50, 3, 3, 3)" in message
    assert_same(target, before)


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("__import__('builtins').__dict__.__setitem__('pwned', True)",))


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "evil.pth"
    torch.save({"params": RunsCode()}, file)
    with pytest.raises(ValueError, match="would run code"):
        read_state_dict(file)
    assert "pwned" not in __builtins__


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 1000])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, kept: int) -> None:
    whole, file = tmp_path / f"whole{suffix}", tmp_path / f"truncated{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(tiny().state_dict(), whole)
    file.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(ValueError, match="truncated"):
        read_state_dict(file)


def test_a_file_without_weights_is_named(tmp_path: Path) -> None:
    file = tmp_path / "numbers.pth"
    torch.save({"epoch": 3}, file)
    with pytest.raises(ValueError, match="holds no network weights"):
        read_state_dict(file)


@pytest.mark.parametrize(
    "network",
    [
        LRFDN(),
        LRFDN(num_feat=16, num_block=3, upscale=2),
        RFDN(num_feat=20, num_block=1, upscale=3),
        LRFDN(num_in_ch=1, num_out_ch=1, num_feat=8, num_block=1, upscale=2),
    ],
)
def test_a_state_dict_is_recognized_and_rebuilt(network: torch.nn.Module) -> None:
    rebuilt = network_from_state(network.state_dict())
    assert type(rebuilt.network) is type(network)
    assert_same(rebuilt.network, network.state_dict())
    assert rebuilt.scale == network.upscale


def test_a_stranger_is_not_recognized() -> None:
    assert recognize(torch.nn.Conv2d(3, 3, 3).state_dict()) is None


def exported(tmp_path: Path, kind: str) -> Path:
    """A file that ``lrfdn export`` writes for other programs."""
    path = tmp_path / f"exported.{'pt' if kind == 'torchscript' else 'safetensors'}"
    export_network(kind, loaded(tiny()), path)
    return path


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"weights go here\n", "notes.txt"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "photo.png"),
        (b"\x08\x08\x12\nlrfdn-arch", "model.ONNX"),
    ],
)
def test_files_of_other_kinds_are_no_weights(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not a weights file: it is neither a torch"):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02"])
def test_bytes_at_random_are_named_as_damaged(tmp_path: Path, start: bytes) -> None:
    file, generator = tmp_path / "random.pth", Random(0)
    for _ in range(200):
        file.write_bytes(start + generator.randbytes(60))
        with pytest.raises(ValueError, match=r"random\.pth (is damaged|was refused)"):
            read_state_dict(file)


def test_names_that_are_no_text_are_no_weights(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(3)}, tmp_path / "numbered.pth")
    with pytest.raises(ValueError, match="holds no network weights"):
        read_state_dict(tmp_path / "numbered.pth")


def test_an_ending_in_capitals_is_understood(tmp_path: Path) -> None:
    source, target, file = tiny(), tiny(), tmp_path / "WEIGHTS.SAFETENSORS"
    save_file(source.state_dict(), file)
    load_into(target, file)
    assert_same(target, source.state_dict())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_may_not_be_read_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    file = tmp_path / f"secret{suffix}"
    file.touch()

    def refused(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refused)  # root may read everything
    with pytest.raises(PermissionError, match="secret"):
        read_state_dict(file)


@pytest.mark.slow
def test_exports_for_other_programs_ask_for_plain_weights(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a fused export.*give the plain weights"):
        read_state_dict(exported(tmp_path, "fused"))
    script = exported(tmp_path, "torchscript")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"is a TorchScript program: give the weights"):
            read_state_dict(script)


@pytest.mark.parametrize("img_range", [0, -1.0, "wide", float("nan"), None])
def test_an_img_range_that_is_none_is_named(tmp_path: Path, img_range: object) -> None:
    content = {"params": tiny().state_dict(), "network_g": {"img_range": img_range}}
    torch.save(content, tmp_path / "a.pth")
    save_file(
        tiny().state_dict(),
        tmp_path / "a.safetensors",
        {"architecture": "LRFDN", "img_range": str(img_range)},
    )
    for file in ("a.pth", "a.safetensors"):
        with pytest.raises(ValueError, match=rf"{file} has an img_range of .*above 0"):
            read_state_dict(tmp_path / file)


def test_weights_that_lack_a_part_are_named_in_any_range(tmp_path: Path) -> None:
    state = {k: v for k, v in tiny().state_dict().items() if k != "upsampler.0.bias"}
    file = tmp_path / "part.pth"
    torch.save({"params": state, "network_g": {"img_range": 255.0}}, file)
    with pytest.raises(ValueError, match=r"part\.pth looks like LRFDN x3 .*upsampler\.0\.bias"):
        load_network(file)
    torch.save(tiny().state_dict() | {"fea_conv.weight": torch.zeros(8, 0, 3, 3)}, file)
    with pytest.raises(ValueError, match=r"part\.pth holds the weights of no network known here"):
        load_network(file)
    torch.save(tiny().state_dict() | {"fea_conv.weight": torch.zeros(9, 3, 3, 3)}, file)
    with pytest.raises(ValueError, match=r"part\.pth looks like LRFDN .* divisible by 8, got 9"):
        load_network(file)
