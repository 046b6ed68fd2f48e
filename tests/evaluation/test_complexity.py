"""The counters give Table 1 of the factsheet, digit for digit, and agree with fvcore."""

import json

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from lrfdn_arch.archs import ARCHITECTURES, LRFDN, RFDN, RLFN, SPAN
from lrfdn_arch.cli import main
from lrfdn_arch.evaluation import complexity
from lrfdn_arch.evaluation.complexity import count, multi_adds
from lrfdn_arch.evaluation.results import Counts

# Factsheet, Table 1 (rounded there), with the digits the 2023 kit itself prints.
TABLE_1 = {
    # network: (parameters, FLOPs in G, activations, convolutions)
    RFDN: (433_448, 27.102623, 112_034_240, 64),
    LRFDN: (198_032, 11.231835, 86_182_080, 56),
}


@pytest.fixture(scope="module")
def at_256() -> dict[type[nn.Module], Counts]:
    return {network: count(network()) for network in TABLE_1}


def test_the_counts_at_256_are_table_1(at_256: dict[type[nn.Module], Counts]) -> None:
    for network, expected in TABLE_1.items():
        c = at_256[network]
        actual = (c.params, round(c.flops_2023 / 1e9, 6), c.activations, c.convolutions)
        assert actual == expected


def test_convolutions_agree_with_fvcore_where_both_count_the_same() -> None:
    network = nn.Sequential(
        nn.Conv2d(6, 8, 3, stride=2, groups=2), nn.GELU(), nn.Conv2d(8, 4, 1, dilation=2)
    )
    lq = torch.zeros(1, 6, 31, 40)
    assert count(network, (6, 31, 40)).flops_2023 == FlopCountAnalysis(network, lq).total()


@pytest.mark.parametrize(
    ("layer", "flops"),
    [
        (nn.ReLU(), 4 * 8 * 8),
        (nn.GELU(), 0),
        (nn.BatchNorm2d(4), 2 * 4 * 8 * 8),
        (nn.BatchNorm2d(4, affine=False), 4 * 8 * 8),
        (nn.ConvTranspose2d(4, 4, 2, stride=2), 2 * 2 * 4 * 4 * 16 * 16),
        (nn.MaxPool2d(2), 0),
    ],
)
def test_each_layer_counts_as_in_the_2023_kit(layer: nn.Module, flops: int) -> None:
    first = nn.Conv2d(4, 4, 1)
    alone = count(first, (4, 8, 8)).flops_2023
    assert count(nn.Sequential(first, layer), (4, 8, 8)).flops_2023 - alone == flops


def test_counting_leaves_the_network_as_it_was() -> None:
    network = LRFDN(num_feat=8, num_block=1).train()
    count(network, (3, 16, 16))
    assert network.training
    assert all(not module._forward_hooks for module in network.modules())


def test_the_table_shows_table_1_digit_by_digit_with_both_counters_labelled(
    at_256: dict[type[nn.Module], Counts],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Counted once for all tests here; what is tested is what the command makes of it.
    monkeypatch.setattr(complexity, "count", lambda network, _: at_256[type(network)])
    assert main(["complexity"]) == 0
    header, _, rfdn, lrfdn = capsys.readouterr().out.strip().splitlines()
    assert "FLOPs, 2023 kit (G)" in header
    assert "FLOPs, fvcore (G)" in header
    assert {"0.433448", "27.102623", "112.03424", "64"} <= set(rfdn.split())
    assert {"0.198032", "11.231835", "86.18208", "56"} <= set(lrfdn.split())


def test_the_command_prints_json_for_any_size_and_argument(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["complexity", "LRFDN", "--size", "3", "16", "24", "--set", "num_feat=8", "--json"]
    assert main([*command, "--set", "upscale=2"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    expected = count(LRFDN(num_feat=8, upscale=2), (3, 16, 24))
    assert result["params"] == expected.params
    assert result["flops_2023"] == expected.flops_2023
    assert result["input_size"] == [3, 16, 24]


def test_multi_adds_are_the_papers_at_1280x720() -> None:
    larger = {"num_feat": 52, "mid_channels": 52, "num_block": 6}
    networks = (RLFN(**larger), RLFN(**larger, upscale=2), SPAN(num_feat=48))
    found = [round((multi_adds(network) or 0) / 1e9, 1) for network in networks]  # as printed
    assert found == [29.8, 115.4, 24.5]


def test_a_network_that_needs_values_is_counted_on_values() -> None:
    class Normalized(nn.Sequential):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            assert float(input.max()) == 0  # shapes alone have no maximum
            return super().forward(input)

    plain, values = nn.Conv2d(3, 3, 3, padding=1), Normalized(nn.Conv2d(3, 3, 3, padding=1))
    assert count(values, (3, 8, 9)) == count(plain, (3, 8, 9))


def test_a_network_without_a_counted_operation_has_zeros_not_an_error() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return input * self.factor

    found = count(Scale(), (3, 8, 9))
    assert (found.params, found.flops_2023, found.convolutions) == (1, 0, 0)


@pytest.mark.slow
def test_all_networks_are_counted_at_any_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complexity", "--all", "RFDB", "--size", "3", "15", "16", "--json"]) == 2
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert [result["network"] for result in results] == list(ARCHITECTURES)
    assert all(result["input_size"] == [3, 15, 16] for result in results)
    assert "RFDB" in printed.err, "it takes features, not images"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["LRFDN", "--set", "num_feet=8"], r"num_feet.*Its arguments: .*num_feat"),
        (["LRFDN", "--set", "num_feat=12"], r"divisible by 8, got 12"),
        (["LRFDN", "--set", "num_feat"], r"expected NAME=VALUE"),
        (["LRFDN", "--size", "1", "16", "16"], r"LRFDN does not run on an input of 1x16x16"),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main(["complexity", *arguments])


@pytest.mark.slow
def test_a_network_that_cannot_run_does_not_take_the_others_with_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["complexity", "LRFDN", "NoSuchNetwork", "RRDBNet", "--size", "3", "24", "24"]) == 2
    printed = capsys.readouterr()
    assert "LRFDN" in printed.out
    assert "RRDBNet" in printed.out
    assert "NoSuchNetwork" in printed.err
