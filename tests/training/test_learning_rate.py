"""Learning rates: those of BasicSR's and torch's schedulers, without their state."""

import pytest
import torch

from lrfdn_arch.options.basicsr_dict import train_section
from lrfdn_arch.options.training import Train
from lrfdn_arch.training.model.optimizer import learning_rate

TOTAL = 60


def section(scheduler: dict, warmup: int = -1) -> Train:
    return train_section(
        {
            "total_iter": TOTAL,
            "warmup_iter": warmup,
            "optim_g": {"type": "Adam", "lr": "5e-4"},  # as BasicSR's reader leaves it
            "scheduler": scheduler,
        }
    )


def rates(train: Train) -> list[float]:
    return [learning_rate(train, iteration) for iteration in range(1, TOTAL + 1)]


def stepped(make, iterations: int = TOTAL) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=5e-4)
    scheduler, result = make(optimizer), []
    for _ in range(iterations):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


THEIRS = {
    "MultiStepLR": ("MultiStepRestartLR", {"milestones": [10, 30, 30], "gamma": 0.5}),
    "MultiStepRestartLR": (
        "MultiStepRestartLR",
        {
            "milestones": [5, 15, 40, 50],
            "gamma": 0.5,
            "restarts": [0, 20, 40],
            "restart_weights": [1, 0.5, 0.25],
        },
    ),
    "CosineAnnealingRestartLR": (
        "CosineAnnealingRestartLR",
        {"periods": [20, 20, 30], "restart_weights": [1, 0.5, 0.5], "eta_min": 1e-6},
    ),
}


@pytest.mark.parametrize("name", THEIRS)
def test_basicsrs_curves(name):
    from basicsr.models import lr_scheduler

    import lrfdn_arch  # noqa: F401 (repairs BasicSR's import)

    cls, arguments = THEIRS[name]
    expected = stepped(lambda optimizer: getattr(lr_scheduler, cls)(optimizer, **arguments))
    assert rates(section({"type": name, **arguments})) == pytest.approx(expected, rel=1e-9)


def test_torchs_curves():
    expected = stepped(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL, eta_min=1e-6)
    )
    found = rates(section({"type": "CosineAnnealingLR", "eta_min": 1e-6}))
    assert found == pytest.approx(expected, rel=1e-6)
    expected = stepped(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=5e-4, total_steps=TOTAL),
        TOTAL - 1,
    )
    assert rates(section({"type": "OneCycleLR"}))[:-1] == pytest.approx(expected, rel=1e-6)
    assert set(rates(section({"type": "ConstantLR"}))) == {5e-4}


def test_warm_up_rises_in_a_line_to_the_full_rate():
    found = rates(section({"type": "ConstantLR"}, warmup=10))
    assert found[:10] == pytest.approx([5e-4 * (i + 1) / 10 for i in range(10)])
    assert set(found[10:]) == {5e-4}


def test_a_milestone_after_a_warm_up_divides_the_full_rate():
    found = rates(section({"type": "MultiStepLR", "milestones": [30], "gamma": 0.1}, warmup=10))
    assert found[20] == 5e-4
    assert found[-1] == pytest.approx(5e-5)
