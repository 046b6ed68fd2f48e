"""Weights trained in an unusual img_range work wherever networks are built from weights alone."""

import logging
from pathlib import Path

import pytest
import torch

from lrfdn_arch.archs import ARCHITECTURES, LRFDN, RFDN
from lrfdn_arch.evaluation.competitor import load_competitor
from lrfdn_arch.export.files import export_network
from lrfdn_arch.training.model.weights import load_initial
from lrfdn_arch.weights import load_into, load_network, read_state_dict


def checkpoint(network: torch.nn.Module, path: Path, **options: object) -> Path:
    content = {"params": network.state_dict()}
    if options:
        content["network_g"] = {"type": type(network).__name__, **options}
    torch.save(content, path)
    return path


@pytest.mark.parametrize(("network", "img_range"), [(LRFDN, 255.0), (RFDN, 1.0), (LRFDN, 2.0)])
def test_a_checkpoint_that_says_its_range_is_brought_to_the_usual_one(
    tmp_path: Path, network: type[LRFDN] | type[RFDN], img_range: float
) -> None:
    torch.manual_seed(0)
    trained = network(num_feat=16, num_block=2, img_range=img_range).eval()
    file = checkpoint(trained, tmp_path / "a.pth", img_range=img_range)
    lq = torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        expected = trained(lq)
        torch.testing.assert_close(load_network(file).network(lq), expected, atol=2e-6, rtol=1e-5)
        judged = load_competitor(f"mine={file}")
        scaled = judged.network(lq * judged.data_range) / judged.data_range
        torch.testing.assert_close(scaled, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("network", [LRFDN, RFDN])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_training_starts_from_weights_of_any_range(
    tmp_path: Path, network: type[LRFDN] | type[RFDN], ending: str
) -> None:
    torch.manual_seed(0)
    trained = network(num_feat=16, num_block=1, img_range=2.0).eval()
    file = checkpoint(trained, tmp_path / "a.pth", img_range=2.0)
    if ending == "safetensors":
        file = tmp_path / "a.safetensors"
        export_network("safetensors", load_network(tmp_path / "a.pth"), file)
    lq = torch.rand(1, 3, 20, 24)
    for img_range in (1.0, 2.0, 255.0):
        started = network(num_feat=16, num_block=1, img_range=img_range).eval()
        load_initial(started, {"pretrain_network_g": str(file)})
        with torch.no_grad():
            torch.testing.assert_close(started(lq), trained(lq), atol=2e-6, rtol=1e-5)


def test_an_unusual_range_that_the_file_does_not_confirm_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = LRFDN(num_feat=16, num_block=1)
    file = checkpoint(network, tmp_path / "a.pth")
    monkeypatch.setattr(logging.getLogger("basicsr"), "propagate", True)
    load_into(LRFDN(num_feat=16, num_block=1), file)
    with pytest.raises(ValueError, match="seems to hold LRFDN"):
        load_into(RFDN(num_feat=16, num_block=1, img_range=1.0), file)
    with pytest.raises(ValueError, match="seems to hold LRFDN"):
        load_into(RFDN(num_feat=16, num_block=1), file)
    assert not caplog.messages
    other = LRFDN(num_feat=16, num_block=1, img_range=255.0)
    load_into(other, file)
    assert "a.pth does not contain its img_range; taken to be the network's, 255" in caplog.text
    assert torch.equal(other.fea_conv.weight, network.fea_conv.weight)


def test_files_that_say_nothing_are_as_they_are(tmp_path: Path) -> None:
    network = LRFDN(num_feat=16, num_block=1)
    state = read_state_dict(checkpoint(network, tmp_path / "a.pth"))
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert ARCHITECTURES["LRFDN"].usual_img_range == 1.0
    assert ARCHITECTURES["RFDN"].usual_img_range == 255.0


@torch.no_grad()
def test_a_block_shortcut_is_built_from_what_the_file_contains(tmp_path: Path) -> None:
    network = LRFDN(num_feat=16, num_block=1, block_shortcut=True).eval()
    file = checkpoint(network, tmp_path / "a.pth", block_shortcut=True)
    loaded = load_network(file)
    export_network("safetensors", loaded, tmp_path / "a.safetensors")
    lq = torch.rand(1, 3, 20, 24)
    assert torch.equal(loaded.network(lq), network(lq))
    assert torch.equal(load_network(tmp_path / "a.safetensors").network(lq), network(lq))
