"""The networks equal their authors' code: outputs, weight names, released weights, costs."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from repository import FIXTURES
from torch import nn

from lrfdn_arch.archs import ARCHITECTURES, RFANet
from lrfdn_arch.evaluation.complexity import count


class Parity(NamedTuple):
    """What is known of a network's original.

    ``tolerance`` is that of outputs with formula weights, on the weights' own scale. The fixtures
    were computed in float32: SPAN's, which subtracts large numbers, are off by up to 1.8e-4 of the
    largest value, 150, RLFN's by 2e-6 of 970. Costs are None where no exact
    figure was published.
    """

    tolerance: float
    params: int
    flops_fvcore: int | None
    flops_2023: int | None = None
    activations: int | None = None
    convolutions: int | None = None
    weights: str | None = None


CASES = {
    "LRFDN": Parity(1e-4, 198_032, None, 11_231_835_264, 86_182_080, 56, "team30_lrfdn.pth"),
    "RFDN": Parity(1e-2, 433_448, None, 27_102_622_560, 112_034_240, 64, "team00_rfdn.pth"),
    "RLFN": Parity(
        1e-2, 317_218, 19_674_859_520, 19_695_306_752, 80_045_184, 39, "team00_rlfn.pth"
    ),
    "EFDN": Parity(
        1e-4, 276_192, 16_703_470_848, 16_728_798_048, 111_116_736, 65, "team00_efdn.pth"
    ),
    "SPAN": Parity(3e-2, 150_688, 9_833_807_872, 9_833_807_872, 41_680_896, 22, "team00_span.pth"),
    "MAFFSRN_x2": Parity(1e-4, 402_394, 24_490_067_968),
    "MAFFSRN_x3": Parity(1e-4, 418_774, 25_559_615_488),
    "MAFFSRN_x4": Parity(1e-4, 441_706, 27_056_982_016),
}
RELEASED = [name for name, case in CASES.items() if case.weights]


def original(case: str) -> nn.Module:
    """The network without range conversion: its input is on the released weights' scale."""
    name, _, scale = case.partition("_x")
    record = ARCHITECTURES[name]
    arguments = {"img_range": 1.0} if record.range_layers else {}
    return record.build({**arguments, "upscale": int(scale or 4)}).eval()


def set_formula_weights(network: nn.Module) -> None:
    """Weights from a formula, so that parity needs no released file (networks' fixtures)."""
    state = network.state_dict()
    for j, key in enumerate(sorted(state)):
        t = state[key]
        a = 1 / np.sqrt(t.numel() // t.shape[0]) if t.dim() == 4 else 0.1 if "bias" in key else 0.5
        values = a * np.sin(0.7 * np.arange(t.numel(), dtype=np.float64) + 1.3 * j)
        values += 1.0 if key.endswith("cw") else 0.0
        state[key] = torch.from_numpy(values.reshape(tuple(t.shape)).astype(np.float32))
    network.load_state_dict(state)


def test_every_network_whose_original_exists_is_compared() -> None:
    assert {case.partition("_")[0] for case in CASES} == set(ARCHITECTURES) - {"RFANet"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", ["15x15", "24x20", "33x47"])
def test_formula_weights_give_the_original_s_output(case: str, size: str) -> None:
    network = original(case)
    set_formula_weights(network)
    with np.load(FIXTURES / f"parity_formula_{case.lower()}.npz") as fixture:
        lq, expected = torch.from_numpy(fixture[f"in_{size}"]), fixture[f"out_{size}"]
    with torch.inference_mode():
        actual = network.double()(lq.double()).numpy()  # the same on all processors
    difference = np.abs(actual - expected).max()
    assert difference < CASES[case].tolerance, f"largest difference {difference:.2e}"


@pytest.mark.parametrize("case", CASES)
def test_weight_names_and_shapes_are_the_original_s(case: str) -> None:
    file = "state_dict_shapes" + ("" if case in ("LRFDN", "RFDN") else "_baselines")
    shapes = json.loads((FIXTURES / f"{file}.json").read_text())
    expected = shapes.get(case) or shapes[case.lower()]
    actual = {key: list(t.shape) for key, t in original(case).state_dict().items()}
    assert actual == expected


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=pytest.mark.slow) if c.startswith("MAFFSRN") else c for c in CASES],
)
def test_costs_are_the_published_ones_to_the_digit(case: str) -> None:
    expected, actual = CASES[case], count(original(case))
    for field in ("params", "flops_fvcore", "flops_2023", "activations", "convolutions"):
        published = getattr(expected, field)
        assert published in (None, getattr(actual, field)), field


def test_rfanet_has_the_paper_s_number_of_parameters() -> None:
    assert sum(p.numel() for p in RFANet().parameters()) == 11_093_635


@pytest.mark.parametrize("name", ["LRFDN", "RFDN"])
def test_released_weights_give_the_original_s_output(name: str, shared: Path) -> None:
    record = ARCHITECTURES[name]
    network = record.build({}).eval()  # as users build it: in and out in [0, 1]
    state = torch.load(
        shared / "reference" / str(CASES[name].weights), map_location="cpu", weights_only=True
    )
    network.load_state_dict(state, strict=True)
    with np.load(FIXTURES / "official_crop.npz") as fixture:
        image, expected = fixture["lr_uint8_rgb_hwc"], fixture[name.lower()]
    lq = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0) / 255
    with torch.inference_mode():
        actual = network(lq).numpy() * record.usual_img_range
    difference = np.abs(actual - expected).max()
    assert difference < CASES[name].tolerance, f"largest difference {difference:.2e}"


@pytest.mark.parametrize("name", RELEASED)
def test_released_weights_load_strictly_and_are_known_by_their_sha256(
    name: str, shared: Path
) -> None:
    file = shared / "reference" / str(CASES[name].weights)
    state = torch.load(file, map_location="cpu", weights_only=True)
    ARCHITECTURES[name].build({}).load_state_dict(state, strict=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest in {released.sha256 for released in ARCHITECTURES[name].released}
