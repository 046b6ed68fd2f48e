"""Losses against plain references, and their list in an option file."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training_runs import options, run, write

from lrfdn_arch.archs import RFDN
from lrfdn_arch.options import OptionsError, TrainOptions, load_options, to_basicsr
from lrfdn_arch.training.losses import FFTLoss, GradientLoss


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(2, 3, 12, 10), torch.rand(2, 3, 12, 10)


@pytest.mark.parametrize("norm", ["ortho", "backward"])
def test_the_fft_loss_is_numpys(pair, norm):
    a, b = (np.fft.rfft2(x.double().numpy(), norm=norm) for x in pair)
    expected = (np.abs((a - b).real).mean() + np.abs((a - b).imag).mean()) / 2
    assert FFTLoss(loss_weight=0.3, norm=norm)(*pair).item() == pytest.approx(0.3 * expected)


def test_the_gradient_loss_is_numpys(pair):
    a, b = (x.double().numpy() for x in pair)
    expected = sum(np.abs(np.diff(a, axis=n) - np.diff(b, axis=n)).mean() for n in (2, 3))
    assert GradientLoss(loss_weight=2.0)(*pair).item() == pytest.approx(2 * expected)


@pytest.mark.parametrize("loss", [FFTLoss(), GradientLoss()])
def test_equal_images_have_no_loss_and_gradients_are_finite(pair, loss):
    x = pair[0].clone().requires_grad_()
    value = loss(x, pair[0])
    value.backward()
    assert value.item() == 0 and x.grad is not None and x.grad.isfinite().all()


@pytest.fixture
def teacher(tmp_path):
    """A file with an RFDN of 8 features, x2."""
    torch.manual_seed(5)
    network = RFDN(num_feat=8, num_block=1, upscale=2, img_range=1.0)
    section = {"type": "RFDN", "num_feat": 8, "num_block": 1, "upscale": 2, "img_range": 1.0}
    torch.save({"params": network.state_dict(), "network_g": section}, tmp_path / "teacher.pth")
    return tmp_path / "teacher.pth", network.eval()


LOSSES = [
    {"type": "L1Loss", "loss_weight": 0.7},
    {"type": "MSELoss"},
    {"type": "CharbonnierLoss", "eps": 1e-6, "reduction": "sum"},
    {"type": "FFTLoss", "loss_weight": 0.1},
    {"type": "GradientLoss", "loss_weight": 0.2},
    {"type": "L1Loss", "loss_weight": 0.5, "target": "teacher"},
    {"type": "L1Loss", "loss_weight": 0.1},
]


def build(tmp_path, **changes: Any) -> Any:
    import basicsr  # noqa: F401
    from basicsr.models import build_model

    paths = {"datasets__val__dataroot_gt": "x", "datasets__val__dataroot_lq": "x"}
    file = write(options(tmp_path, **paths, **changes), tmp_path / "o.yml")
    torch.manual_seed(0)
    return build_model(to_basicsr(load_options(file, TrainOptions), root=tmp_path))


@pytest.mark.parametrize("parts", [1, 2])
def test_listed_losses_are_weighted_summed_and_logged_by_name(tmp_path, teacher, parts):
    model = build(
        tmp_path,
        train__pixel_opt=None,
        train__losses=LOSSES,
        path__pretrain_network_teacher=str(teacher[0]),
        datasets__train__batch_size_per_gpu=4 // parts,
        datasets__train__accum_iter=parts,
    )
    lq, gt = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        output, imitated = model.net_g(lq), teacher[1](lq)
    error = output - gt
    expected = {
        "l_l1": 0.7 * error.abs().mean(),
        "l_mse": error.square().mean(),
        "l_charbonnier": (error.square() + 1e-6).sqrt().sum(),
        "l_fft": FFTLoss(0.1)(output, gt),
        "l_gradient": GradientLoss(0.2)(output, gt),
        "l_l1_teacher": 0.5 * F.l1_loss(output, imitated),
        "l_l1_2": 0.1 * error.abs().mean(),
    }
    model.update_learning_rate(1)
    model.feed_data({"lq": lq, "gt": gt})
    model.optimize_parameters(1)
    log = model.get_current_log()
    assert {name for name in log if name.startswith("l_")} == expected.keys()
    for name, value in expected.items():
        assert log[name] == pytest.approx(value.item(), rel=1e-4), name
    assert not any(name.startswith("net_") and "teacher" in name for name in vars(model))


def test_a_teacher_of_another_scale_is_refused(tmp_path, teacher):
    torch.save(RFDN(num_feat=8, num_block=1, upscale=3).state_dict(), tmp_path / "x3.pth")
    model = build(
        tmp_path, train__losses=LOSSES, path__pretrain_network_teacher=str(tmp_path / "x3.pth")
    )
    model.update_learning_rate(1)
    model.feed_data({"lq": torch.rand(4, 3, 16, 16), "gt": torch.rand(4, 3, 32, 32)})
    with pytest.raises(ValueError, match=r"teacher makes .* take one of the same scale"):
        model.optimize_parameters(1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train__losses": LOSSES}, "path:pretrain_network_teacher: needed, since a loss has"),
        ({"path__pretrain_network_teacher": "x.pth"}, "no loss has target: teacher"),
        ({"train__losses": [{"type": "FTLoss"}]}, "unknown loss; did you mean 'FFTLoss'"),
        ({"train__losses": [{"type": "FFTLoss", "los_weight": 1}]}, "argument of FFTLoss"),
        ({"train__losses": [{"type": "L1Loss", "reduction": "none"}]}, "expected mean or sum"),
        ({"train__pixel_opt": None}, "train:pixel_opt: needed"),
    ],
)
def test_mistakes_in_the_list_are_reported(tmp_path, changes, expected):
    file = write(options(tmp_path, **changes), tmp_path / "o.yml")
    with pytest.raises(OptionsError) as caught:
        load_options(file, TrainOptions)
    assert expected in str(caught.value)


@pytest.mark.usefixtures("plain_runs")
def test_a_run_with_a_list_of_losses_prints_them(data, tmp_path, teacher, capsys):
    paths = {"path__pretrain_network_teacher": str(teacher[0])}
    opt = options(data, train__total_iter=2, train__pixel_opt=None, train__losses=LOSSES, **paths)
    assert run(opt, tmp_path) == 0
    out = capsys.readouterr().out
    assert "l_fft" in out and "l_l1_teacher" in out
    missing = {**opt, "path": {"pretrain_network_teacher": str(tmp_path / "none.pth")}}
    with pytest.raises(FileNotFoundError, match=r"path:pretrain_network_teacher: .*none\.pth"):
        run(missing, tmp_path / "b")
