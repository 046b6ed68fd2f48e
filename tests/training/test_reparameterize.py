"""Convolutions trained as branches: one function, merged exactly, invisible to files."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training_runs import differing, options, run, weights

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.options.training import Reparameterize
from lrfdn_arch.training.checkpoint import load_state
from lrfdn_arch.training.model.reparameterize import (
    branch_state,
    reparameterize,
)
from lrfdn_arch.training.model.weights import WeightAverage
from lrfdn_arch.weights import load_into

KINDS = ("rep", "ecb", "dbb")


def section(**keys: Any) -> Reparameterize:
    return Reparameterize.model_validate(keys)


def move(network: nn.Module) -> None:
    """Change every weight, so that branches and kernels are anything."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)


def expanded(x: Tensor, convolution: Any) -> Tensor:
    """Run kernel and branches side by side, each a convolution of its own, zeros around x."""
    parametrization = convolution.parametrizations.weight
    pad = convolution.padding[0]
    out = F.conv2d(x, parametrization.original, convolution.bias, padding=pad)
    inner = x if pad else x[..., 1:-1, 1:-1]
    for branch in parametrization[0].branches:
        if hasattr(branch, "kernels"):
            kernels = list(branch.kernels)
            large = any(kernel.shape[-1] == 3 for kernel in kernels)
            y = F.pad(x, (pad,) * 4) if large else inner
            for kernel in kernels:
                y = F.conv2d(y, kernel)
        elif hasattr(branch, "taps"):
            taps = branch.taps.expand(len(branch.factor), 1, 3, 3)
            y = F.conv2d(F.pad(x, (pad,) * 4), branch.kernel)
            y = F.conv2d(y, taps * branch.factor.view(-1, 1, 1, 1), groups=len(taps))
        else:
            y = inner * branch.factor.view(1, -1, 1, 1)
        out = out + y
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(6, 6), (3, 8)])
@pytest.mark.parametrize("padding", [0, 1])
def test_the_merged_convolution_is_the_sum_of_its_branches(kind, channels, padding):
    for dtype, tolerance in ((torch.float32, 3e-6), (torch.float64, 1e-12)):
        convolution = nn.Conv2d(channels[0], channels[1], 3, padding=padding)
        network = nn.Sequential(convolution).to(dtype)
        reparameterize(network, section(kind=kind))
        move(network)
        x = torch.rand(2, channels[0], 9, 7, dtype=dtype)
        expected = expanded(x, convolution)
        weight = network.state_dict()["0.weight"]
        merged = F.conv2d(x, weight, convolution.bias, padding=padding)
        torch.testing.assert_close(merged, expected, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(network(x), merged)
        # and so are the gradients of every branch
        gradients = torch.autograd.grad(network(x).sin().sum(), list(network.parameters()))
        reference = torch.autograd.grad(expected.sin().sum(), list(network.parameters()))
        for found, wanted in zip(gradients, reference, strict=True):
            torch.testing.assert_close(found, wanted, atol=100 * tolerance, rtol=100 * tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cls", [LRFDN, RFDN])
def test_it_changes_neither_function_nor_names(kind, cls):
    torch.manual_seed(0)
    network, x = cls(num_feat=8, num_block=1, upscale=2), torch.rand(1, 3, 20, 17)
    before, function = network.state_dict(), network(x)
    reparameterize(network, section(kind=kind, kernel_sizes=[1, 3]))
    after = network.state_dict()
    assert list(after) == list(before)
    for name, weight in after.items():
        torch.testing.assert_close(weight, before[name], atol=1e-6, rtol=1e-5, msg=name)
    torch.testing.assert_close(network(x), function, atol=1e-5, rtol=1e-5)
    without = torch.autograd.grad(network(x).sum(), list(network.parameters()), allow_unused=True)
    assert all(gradient is not None for gradient in without)


def test_a_trained_state_loads_into_the_plain_network_and_back(tmp_path):
    network, plain = LRFDN(num_feat=8, num_block=1), LRFDN(num_feat=8, num_block=1)
    reparameterize(network, section(layers=["B1.*", "LR_conv"]))
    move(network)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    load_into(plain, tmp_path / "weights.pth", None)
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(plain(x), network(x), atol=1e-5, rtol=1e-5)
    other = LRFDN(num_feat=8, num_block=1)
    reparameterize(other, section(layers=["B1.*", "LR_conv"]))
    other.load_state_dict(plain.state_dict())
    torch.testing.assert_close(other(x), plain(x), atol=1e-5, rtol=1e-5)
    for name, weight in branch_state(other).items():
        weight.copy_(branch_state(network)[name])
    for name, weight in network.named_parameters():
        if "parametrizations" in name:
            assert torch.equal(weight, dict(other.named_parameters())[name]), name


def test_layers_choose_by_name_and_kernel_size():
    network = LRFDN(num_feat=8, num_block=2)
    reparameterize(network, section(layers=["B2.c*"], kernel_sizes=[1]))
    chosen = {name.split(".parametrizations")[0] for name in branch_state(network)}
    assert chosen == {f"B2.{name}" for name in ("c1_d", "c2_d", "c3_d", "c5")}
    with pytest.raises(ValueError, match="match none of the ungrouped convolutions of LRFDN"):
        reparameterize(LRFDN(num_feat=8), section(layers=["body.*"]))


def test_the_average_is_that_of_merged_kernels():
    network, average = LRFDN(num_feat=8, num_block=1), LRFDN(num_feat=8, num_block=1)
    reparameterize(network, section())
    average.load_state_dict(network.state_dict())
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    update = WeightAverage(average.requires_grad_(False), network)
    move(network)
    update.update(0.9)
    for name, weight in network.state_dict().items():
        expected = 0.9 * before[name] + 0.1 * weight
        torch.testing.assert_close(average.state_dict()[name], expected, msg=name)


@pytest.mark.usefixtures("plain_runs")
@pytest.mark.parametrize("optimizer", ["Adam", "Muon"])
def test_a_run_resumes_bit_for_bit_and_writes_a_plain_network(data, tmp_path, optimizer):
    changes = {
        "train__reparameterize": {"kind": "ecb"},
        "train__optim_g": {"type": optimizer, "lr": 0.002},
        "use_channels_last": True,
    }
    whole = options(data, **changes)
    assert run(whole, tmp_path / "whole") == 0
    first = options(data, **{**changes, "train__total_iter": 4})
    assert run(first, tmp_path / "parts") == 0
    assert run(whole, tmp_path / "parts", "--auto_resume") == 0
    expected, found = weights(tmp_path / "whole", 8), weights(tmp_path / "parts", 8)
    assert not differing(expected, found)
    plain = LRFDN(num_feat=8, num_block=1, upscale=2).state_dict()
    names = {f"{key}.{name}" for key in ("params", "params_ema") for name in plain}
    assert expected.keys() == names
    states = [
        load_state(tmp_path / name / "experiments/run/training_states/8.state")["model"]["branches"]
        for name in ("whole", "parts")
    ]
    assert states[0] and not differing(*states)


@pytest.mark.usefixtures("plain_runs")
def test_a_state_without_branches_is_refused(data, tmp_path):
    assert run(options(data, train__total_iter=4), tmp_path) == 0
    branched = options(data, train__reparameterize={})
    with pytest.raises(ValueError, match="other branches than train:reparameterize"):
        run(branched, tmp_path, "--auto_resume")
