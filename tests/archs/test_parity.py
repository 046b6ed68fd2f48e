"""The networks equal the released ones: outputs, weight names, released weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.archs.distillation_network import FeatureDistillationNetwork

FIXTURES = Path(__file__).parent.parent / "fixtures"
# The fixtures of RFDN are on its own 0..255 scale, so it is built without the range conversion.
CASES = {
    "lrfdn": (LRFDN, 1.0, 1e-4),
    "rfdn": (RFDN, 255.0, 1e-2),
}


def released_network(name: str) -> FeatureDistillationNetwork:
    """The network without range conversion: its input is on the released weights' scale."""
    network, _, _ = CASES[name]
    return network(img_range=1.0).eval()


def set_formula_weights(network: torch.nn.Module) -> None:
    """Weights from a formula, so that parity needs no released file (networks' fixtures)."""
    state = network.state_dict()
    for j, key in enumerate(sorted(state)):
        t = state[key]
        a = 1 / np.sqrt(t.numel() // t.shape[0]) if t.dim() == 4 else 0.1 if "bias" in key else 0.5
        values = a * np.sin(0.7 * np.arange(t.numel(), dtype=np.float64) + 1.3 * j)
        values += 1.0 if key.endswith("cw") else 0.0
        state[key] = torch.from_numpy(values.reshape(tuple(t.shape)).astype(np.float32))
    network.load_state_dict(state)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", ["15x15", "24x20", "33x47"])
def test_formula_weights_give_the_released_code_s_output(name: str, size: str) -> None:
    network = released_network(name)
    set_formula_weights(network)
    with np.load(FIXTURES / f"parity_formula_{name}.npz") as fixture:
        lq, expected = torch.from_numpy(fixture[f"in_{size}"]), fixture[f"out_{size}"]
    with torch.inference_mode():
        actual = network(lq).numpy()
    difference = np.abs(actual - expected).max()
    assert difference < CASES[name][2], f"largest difference {difference:.2e}"


@pytest.mark.parametrize("name", CASES)
def test_weight_names_and_shapes_are_the_released_ones(name: str) -> None:
    expected = json.loads((FIXTURES / "state_dict_shapes.json").read_text())[name]
    actual = {key: list(t.shape) for key, t in released_network(name).state_dict().items()}
    assert actual == expected


RELEASED = {"lrfdn": "team30_lrfdn.pth", "rfdn": "team00_rfdn.pth"}


@pytest.mark.parametrize("name", CASES)
def test_released_weights_load_strictly_and_give_the_released_output(
    name: str, shared: Path
) -> None:
    network, img_range, tolerance = CASES[name]
    network = network().eval()  # as users build it: in and out in [0, 1]
    state = torch.load(shared / "reference" / RELEASED[name], weights_only=True)
    network.load_state_dict(state, strict=True)
    with np.load(FIXTURES / "official_crop.npz") as fixture:
        image, expected = fixture["lr_uint8_rgb_hwc"], fixture[name]
    lq = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0) / 255
    with torch.inference_mode():
        actual = network(lq).numpy() * img_range
    difference = np.abs(actual - expected).max()
    assert difference < tolerance, f"largest difference {difference:.2e}"
