"""Muon against torch's own on flattened kernels, Adam for the rest, and plain linear algebra."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from lrfdn_arch.archs import LRFDN
from lrfdn_arch.muon import SCALINGS, Muon, is_kernel, orthogonalize
from lrfdn_arch.options.training import Optimizer
from lrfdn_arch.training.model.optimizer import build_optimizer


def network(upscale: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return LRFDN(num_feat=16, num_block=2, upscale=upscale)


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["match_rms_adamw", "original"])
def test_steps_are_those_of_torch_on_flattened_kernels_and_of_adam_on_the_rest(scaling):
    model, reference = network(), network()
    ours = Muon(model.parameters(), lr=5e-3, adam_lr=3e-3, weight_decay=0.1, scaling=scaling)
    kernels = [p for p in reference.parameters() if is_kernel(p)]
    matrices = [nn.Parameter(k.detach().flatten(1).clone()) for k in kernels]
    muon = torch.optim.Muon(matrices, lr=5e-3, weight_decay=0.1, adjust_lr_fn=scaling)
    adam = torch.optim.Adam([p for p in reference.parameters() if not is_kernel(p)], lr=3e-3)
    for _ in range(4):
        for p, q in zip(model.parameters(), reference.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        for kernel, matrix in zip(kernels, matrices, strict=True):
            assert kernel.grad is not None
            matrix.grad = kernel.grad.flatten(1)
        for optimizer in (ours, muon, adam):
            optimizer.step()
    for kernel, matrix in zip(kernels, matrices, strict=True):
        kernel.data.copy_(matrix.data.view_as(kernel))
    before = network().state_dict()
    for name, p in model.state_dict().items():
        q = reference.state_dict()[name]
        moved = (q - before[name]).norm()
        # torch computes the Newton-Schulz steps in bfloat16
        assert float((p - q).norm() / moved) < (0.04 if is_kernel(p) else 1e-5), name


def test_newton_schulz_is_the_polynomial_of_the_singular_values():
    matrices = torch.randn(3, 8, 24, dtype=torch.float64)
    for made, matrix in zip(orthogonalize(matrices), matrices, strict=True):
        u, s, v = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        torch.testing.assert_close(made, u @ torch.diag(s) @ v)
    torch.testing.assert_close(orthogonalize(matrices.mT), orthogonalize(matrices).mT)


def test_kernels_are_those_with_a_matrix_for_each_tap():
    chosen = {name for name, p in network().named_parameters() if is_kernel(p)}
    assert {"fea_conv.weight", "B1.c1_d.weight", "B2.esa.conv2.weight"} <= chosen
    assert not [name for name in chosen if name.endswith(("bias", "cw"))]
    assert not is_kernel(nn.Conv2d(8, 8, 3, groups=8).weight)  # depthwise
    assert is_kernel(nn.Linear(4, 8).weight)


def test_a_frozen_weight_and_a_zero_gradient_stay_put():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    before = [p.detach().clone() for p in model.parameters()]
    for p in model[0].parameters():
        p.grad = torch.zeros_like(p)
    Muon(model.parameters()).step()
    for p, q in zip(model.parameters(), before, strict=True):
        assert torch.equal(p, q)


@pytest.mark.slow
def test_memory_layout_does_not_change_the_steps():
    plain, nhwc = network(), network().to(memory_format=torch.channels_last)
    for model in (plain, nhwc):
        optimizer = Muon(model.parameters())
        for seed in (1, 2):
            torch.manual_seed(seed)
            for p in model.parameters():
                p.grad = torch.empty_like(p).copy_(torch.randn(p.shape))
            optimizer.step()
    for p, q in zip(plain.parameters(), nhwc.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.slow
def test_it_lowers_a_loss():
    model, x = network(upscale=2), torch.rand(2, 3, 16, 16)
    y = nn.functional.interpolate(x, scale_factor=2, mode="bicubic")
    optimizer, losses = Muon(model.parameters(), lr=2e-3, adam_lr=2e-3), []
    for _ in range(30):
        loss = (model(x) - y).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(after < before for before, after in pairwise(losses[::10]))


@pytest.mark.parametrize(
    ("argument", "value"),
    [("scaling", "best"), ("momentum", 1.0), ("ns_steps", 0), ("adam_lr", 0.0), ("betas", (1, 0))],
)
def test_bad_arguments_are_refused(argument, value):
    section = Optimizer.model_validate({"type": "Muon", "lr": 0.005, argument: value})
    with pytest.raises(ValueError, match=rf"Muon refuses its arguments: {argument}: expected"):
        build_optimizer(section, network().parameters())


def test_scalings_move_weights_as_described():
    assert SCALINGS["match_rms_adamw"](64, 576) == pytest.approx(0.2 * 24)
    assert SCALINGS["original"](64, 16) == 2 and SCALINGS["original"](16, 64) == 1
