"""Weights are read safely, loaded strictly, and every mistake is named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.weights import identify, load_into, read_state_dict


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
def test_identity_rebuilds_the_network(network: torch.nn.Module) -> None:
    identity = identify(network.state_dict())
    assert identity is not None
    arguments = identity.options()
    rebuilt = {"LRFDN": LRFDN, "RFDN": RFDN}[arguments.pop("type")](**arguments)
    rebuilt.load_state_dict(network.state_dict())


def test_a_stranger_is_not_identified() -> None:
    assert identify(torch.nn.Conv2d(3, 3, 3).state_dict()) is None
