"""Stages of one option file: what each run is, where it starts, and exact resume across them."""

from typing import Any

import pytest
import torch
from training_runs import differing, options, run, weights, write

from lrfdn_arch.options import OptionsError, TrainOptions, load_options, stage_options
from lrfdn_arch.training import trainer

STAGES = [
    {},
    {
        "start_from": "best",
        "datasets": {"train": {"gt_size": 40, "batch_size_per_gpu": 2}},
        "train": {
            "total_iter": 6,
            "scheduler": {"type": "CosineAnnealingLR"},
            "optim_g": {"type": "Muon", "lr": 0.001},
            "pixel_opt": {"type": "MSELoss"},
        },
    },
    {"train": {"total_iter": 2, "ema_decay": 0.5}},
]


def staged(data, **changes: Any) -> dict[str, Any]:
    return options(data, path={"init": "bilinear"}, stages=STAGES, **changes)


def test_a_stage_is_the_file_with_its_own_keys(data, tmp_path):
    loaded = load_options(write(staged(data), tmp_path / "o.yml"), TrainOptions)
    first, second, third = stage_options(loaded)
    assert [s.name for s in (first, second, third)] == ["run_stage1", "run_stage2", "run_stage3"]
    assert first.train == loaded.train and first.path.init == "bilinear"
    assert second.path.init is None
    assert second.path.pretrain_network_g == "experiments/run_stage1/models/net_g_best.pth"
    assert third.path.pretrain_network_g == "experiments/run_stage2/models/net_g_latest.pth"
    assert (second.train_set.gt_size, second.train_set.dataroot_gt) == (
        40,
        loaded.train_set.dataroot_gt,
    )
    assert second.train.optim_g.arguments() == {"lr": 0.001}  # replaced as a whole
    assert second.train.scheduler.periods == ()
    assert second.train.ema_decay == loaded.train.ema_decay
    assert third.train.optim_g == loaded.train.optim_g and third.train.ema_decay == 0.5


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ({"train": {"total_itr": 5}}, "stages:0:train:total_itr: unknown key; did you mean"),
        ({"train": {"warmup_iter": 900}}, "stages:0:train:warmup_iter: expected less than"),
        ({"datasets": {"train": {"gt_size": 33}}}, "stages:0:datasets:train:gt_size: expected a"),
        ({"start_from": "ema"}, "stages:0:start_from: expected 'best' or 'latest'"),
        ({"network_g": {"type": "RFDN"}}, "stages:0:network_g: unknown here"),
    ],
)
def test_mistakes_in_a_stage_are_reported_at_their_key(data, tmp_path, stage, expected):
    file = write(options(data, stages=[stage]), tmp_path / "o.yml")
    with pytest.raises(OptionsError) as caught:
        load_options(file, TrainOptions)
    assert expected in str(caught.value)


@pytest.mark.slow
@pytest.mark.usefixtures("plain_runs")
@pytest.mark.parametrize(
    "stop",
    [pytest.param(3, marks=pytest.mark.slow), 10, pytest.param(15, marks=pytest.mark.slow)],
)  # in the first, second and third stage
def test_stopped_in_any_stage_and_resumed_it_ends_with_the_same_weights(
    data, tmp_path, monkeypatch, stop
):
    opt = staged(data)
    assert run(opt, tmp_path / "whole") == 0
    step, taken = trainer.step, []

    class InterruptedRunError(Exception):
        pass

    def counted(session, batch, iteration):
        step(session, batch, iteration)
        taken.append(iteration)
        if len(taken) == stop:
            raise InterruptedRunError

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "step", counted)
        with pytest.raises(InterruptedRunError):
            run({**opt, "logger": {"save_checkpoint_freq": 2}}, tmp_path / "stopped")
    torch.manual_seed(99)
    assert run(opt, tmp_path / "stopped", "--auto_resume") == 0
    for name, last in (("run_stage1", 8), ("run_stage2", 6), ("run_stage3", 2)):
        expected = weights(tmp_path / "whole", last, name)
        assert not differing(expected, weights(tmp_path / "stopped", last, name)), name
