"""Exact resume: stopped after any iteration and resumed, a run ends with the very same weights."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys

import numpy as np
import pytest
import torch
from training_runs import differing, folders, options, run, weights

from lrfdn_arch.training import trainer
from lrfdn_arch.training.checkpoint import load_state

TOTAL = 8
pytestmark = pytest.mark.usefixtures("plain_runs")


def stop_after(monkeypatch, iteration: int, number: int = signal.SIGTERM) -> list[int]:
    """Send this process a signal at the end of step ``iteration``; return the steps it takes."""
    step, taken = trainer.step, []

    def step_and_signal(session, batch, current):
        step(session, batch, current)
        taken.append(current)
        if current == iteration:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(trainer, "step", step_and_signal)
    return taken


def note_steps(monkeypatch) -> list[int]:
    """Return the list that the steps taken from now on are noted in."""
    return stop_after(monkeypatch, iteration=-1)


CASES = {
    "plain": {"train__ema_decay": 0.0},
    "ema": {},
    "two_workers": {"datasets__train__num_worker_per_gpu": 2},
    "resident": {"datasets__train__resident": True},
    "accumulation": {"datasets__train__accum_iter": 3, "datasets__train__batch_size_per_gpu": 2},
    "momentum_clipping_warmup": {
        "train__optim_g": {"type": "NAdam", "lr": 0.002},
        "train__grad_clip_max_norm": 0.1,
        "train__warmup_iter": 6,
    },
    "muon": {
        "train__optim_g": {"type": "Muon", "lr": 0.002, "adam_lr": 0.001},
        "path__init": "bilinear",
        "use_channels_last": True,
    },
    "bfloat16": {"use_amp": True, "amp_bf16": True},
    "float16": {"use_amp": True},
    "basicsr_dataset": {},  # filled in below, where the folders are known
    "basicsr_model": {
        "model_type": "SRModel",
        "datasets__train__output": "float32",
        "train__scheduler": {"type": "MultiStepLR", "milestones": [3, 6], "gamma": 0.5},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(data, tmp_path, monkeypatch, case):
    changes = folders(data) if case == "basicsr_dataset" else CASES[case]
    opt = options(data, train__total_iter=TOTAL, **changes)
    assert run(opt, tmp_path / "whole") == 0
    expected = weights(tmp_path / "whole", TOTAL)
    stop = {"two_workers": 5, "accumulation": 3}.get(case, 2)
    with monkeypatch.context() as patch:
        stop_after(patch, stop)
        assert run(opt, tmp_path / "stopped") == 143
    torch.manual_seed(99)  # whatever the process did before
    taken = note_steps(monkeypatch)
    assert run(opt, tmp_path / "stopped", "--auto_resume") == 0
    assert taken == list(range(stop + 1, TOTAL + 1)), "it began anew"
    found = weights(tmp_path / "stopped", TOTAL)
    assert not differing(expected, found)
    assert any(name.startswith("params_ema.") for name in found) == (case != "plain")


@pytest.mark.slow
def test_any_iteration_will_do_and_a_run_may_be_stopped_many_times(data, tmp_path, monkeypatch):
    opt = options(data, train__total_iter=TOTAL, logger__save_checkpoint_freq=100)
    assert run(opt, tmp_path / "whole") == 0
    for stop in range(1, TOTAL):
        with monkeypatch.context() as patch:
            taken = stop_after(patch, stop, signal.SIGINT)
            assert run(opt, tmp_path / "stopped", "--auto_resume") == 130
            assert taken == [stop]
    assert run(opt, tmp_path / "stopped", "--auto_resume") == 0
    assert not differing(weights(tmp_path / "whole", TOTAL), weights(tmp_path / "stopped", TOTAL))
    logs = [
        [json.loads(line) for line in (tmp_path / name / METRICS).read_text().splitlines()]
        for name in ("whole", "stopped")
    ]
    for log in logs:
        for line in log:
            line.pop("iter_per_s", None), line.pop("data_s", None)
    assert logs[0] == logs[1]


METRICS = "experiments/run/metrics.jsonl"


def test_best_metrics_and_random_states_come_back(data, tmp_path, monkeypatch):
    step = trainer.step

    def draw_and_step(session, batch, iteration):
        noise = torch.randn(()) + np.random.randn() + random.random()
        step(session, {**batch, "lq": batch["lq"] + noise / 10}, iteration)

    monkeypatch.setattr(trainer, "step", draw_and_step)
    # The less the better, of what rises: the first validation stays the best.
    lowest = {"psnr": {"type": "calculate_psnr", "crop_border": 2, "better": "lower"}}
    opt = options(data, val__metrics=lowest, logger__save_checkpoint_freq=100)
    assert run(opt, tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        assert run(opt, tmp_path / "stopped") == 143
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    assert run(opt, tmp_path / "stopped", "--auto_resume") == 0
    assert not differing(weights(tmp_path / "whole", TOTAL), weights(tmp_path / "stopped", TOTAL))
    whole, stopped = (
        load_state(tmp_path / name / "experiments/run/training_states/8.state")["best"]
        for name in ("whole", "stopped")
    )
    assert whole == stopped
    assert whole["noise_val"]["psnr"]["iter"] == 4


def test_going_back_puts_the_later_states_aside(data, tmp_path, monkeypatch, capsys):
    opt = options(data, logger__save_checkpoint_freq=2)
    assert run(opt, tmp_path) == 0
    expected, states = weights(tmp_path, TOTAL), tmp_path / "experiments/run/training_states"
    back = options(data, logger__save_checkpoint_freq=2, path__resume_state=str(states / "2.state"))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert run(back, tmp_path) == 143
    assert sorted(p.name for p in states.glob("*.state")) == ["2.state", "3.state"]
    assert len(list(states.glob("after_2_archived_*/*.state"))) == 3
    assert run(back, tmp_path, "--auto_resume") == 0
    assert "resuming after iteration 3" in capsys.readouterr().out
    assert not differing(expected, weights(tmp_path, TOTAL))


def test_with_no_usable_state_the_earlier_run_is_put_aside(data, tmp_path, capsys):
    opt = options(data)
    assert run(opt, tmp_path) == 0
    for state in (tmp_path / "experiments/run/training_states").iterdir():
        state.write_bytes(b"damaged")
    assert run(opt, tmp_path, "--auto_resume") == 0
    assert "renamed an earlier run to" in capsys.readouterr().out
    assert len(list(tmp_path.glob("experiments/run_archived_*/models/net_g_best.pth"))) == 1


def test_another_optimizer_is_refused_and_its_numbers_are_the_files(data, tmp_path):
    opt = options(data, train__total_iter=4)
    assert run(opt, tmp_path) == 0
    more = {"train__total_iter": 6, "train__optim_g": {"type": "SGD", "lr": 0.01}}
    with pytest.raises(ValueError, match=r"4\.state was saved with Adam, the option file has SGD"):
        run(options(data, **more), tmp_path, "--auto_resume")
    more["train__optim_g"] = {"type": "Adam", "lr": 0.01, "amsgrad": True}
    with pytest.raises(ValueError, match="amsgrad: False"):
        run(options(data, **more), tmp_path, "--auto_resume")
    more["train__optim_g"] = {"type": "Adam", "lr": 0.01, "betas": [0.5, 0.9]}
    assert run(options(data, **more), tmp_path, "--auto_resume") == 0
    state = load_state(tmp_path / "experiments/run/training_states/6.state")
    assert state["optimizers"][0]["param_groups"][0]["betas"] == (0.5, 0.9)


def test_weights_to_start_from_may_be_gone_when_a_run_goes_on(data, tmp_path, monkeypatch):
    assert run(options(data, train__total_iter=2), tmp_path / "first") == 0
    start = tmp_path / "start.pth"
    shutil.copy(tmp_path / "first/experiments/run/models/net_g_2.pth", start)
    opt = options(data, path__pretrain_network_g=str(start))
    assert run(opt, tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        assert run(opt, tmp_path / "stopped") == 143
    start.unlink()
    assert run(opt, tmp_path / "stopped", "--auto_resume") == 0
    assert not differing(weights(tmp_path / "whole", TOTAL), weights(tmp_path / "stopped", TOTAL))


def test_the_number_of_workers_does_not_matter(data, tmp_path):
    for workers in (0, 1, 2):
        opt = options(data, datasets__train__num_worker_per_gpu=workers)
        assert run(opt, tmp_path / str(workers)) == 0
    zero = weights(tmp_path / "0", TOTAL)
    assert not differing(zero, weights(tmp_path / "1", TOTAL))
    assert not differing(zero, weights(tmp_path / "2", TOTAL))


def test_on_the_cpu_deterministic_changes_nothing(data, tmp_path, monkeypatch):
    taken, step = [], trainer.step
    run(options(data, name="plain"), tmp_path)
    monkeypatch.setattr(
        trainer,
        "step",
        lambda *a: (taken.append(torch.are_deterministic_algorithms_enabled()), step(*a)),
    )
    run(options(data, name="deterministic", deterministic=True, use_amp="auto"), tmp_path)
    assert taken == [True] * TOTAL and not torch.are_deterministic_algorithms_enabled()
    assert not differing(
        weights(tmp_path, TOTAL, "plain"), weights(tmp_path, TOTAL, "deterministic")
    )


def test_a_resident_data_set_changes_nothing(data, tmp_path, capsys):
    run(options(data, name="read"), tmp_path)
    run(options(data, name="kept", datasets__train__resident=True), tmp_path)
    assert "images in the memory of cpu" in capsys.readouterr().out
    assert not differing(weights(tmp_path, TOTAL, "read"), weights(tmp_path, TOTAL, "kept"))


def test_validating_saving_and_printing_change_nothing(data, tmp_path):
    assert run(options(data), tmp_path / "often") == 0
    rarely = options(
        data, val__val_freq=100, logger__save_checkpoint_freq=100, logger__print_freq=5
    )
    assert run(rarely, tmp_path / "rarely") == 0
    assert not differing(weights(tmp_path / "often", TOTAL), weights(tmp_path / "rarely", TOTAL))


def test_a_damaged_state_is_passed_over_with_a_warning(data, tmp_path, monkeypatch, capsys):
    opt = options(data, logger__save_checkpoint_freq=2)
    assert run(opt, tmp_path) == 0
    expected = weights(tmp_path, TOTAL)
    states = tmp_path / "experiments/run/training_states"
    (states / "8.state").write_bytes((states / "8.state").read_bytes()[:-1000])  # cut short
    content = bytearray((states / "6.state").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 256] = bytes(256)  # more than the padding between two weights
    (states / "6.state").write_bytes(content)
    monkeypatch.chdir("/")
    capsys.readouterr()
    assert run(opt, tmp_path, "--auto_resume") == 0
    said = capsys.readouterr().out
    assert "8.state is damaged" in said and "6.state is damaged" in said
    assert "resuming after iteration 4" in said
    assert not differing(expected, weights(tmp_path, TOTAL))


def test_a_complete_run_is_left_alone(data, tmp_path, monkeypatch):
    assert run(options(data), tmp_path) == 0
    before = weights(tmp_path, TOTAL)
    taken = note_steps(monkeypatch)
    assert run(options(data), tmp_path, "--auto_resume") == 0
    assert not taken
    assert not differing(before, weights(tmp_path, TOTAL))


def test_a_state_newer_than_the_last_iteration_is_refused(data, tmp_path):
    assert run(options(data), tmp_path) == 0
    with pytest.raises(ValueError, match=r"8\.state was saved at iteration 8, but.* is 5"):
        run(options(data, train__total_iter=5), tmp_path, "--auto_resume")


def test_a_state_of_another_network_is_refused_by_name(data, tmp_path):
    assert run(options(data), tmp_path) == 0
    with pytest.raises(ValueError, match=r"(?s)its net_g does not fit LRFDN.*LRFDN x2 \(8 chan"):
        run(options(data, network_g__num_feat=16), tmp_path, "--auto_resume")


def test_a_state_with_other_data_or_without_ema_is_refused(data, tmp_path):
    assert run(options(data, train__ema_decay=0.0), tmp_path) == 0
    with pytest.raises(ValueError, match="has no net_g_ema; was it saved with other options"):
        run(options(data), tmp_path, "--auto_resume")
    with pytest.raises(ValueError, match="seed"):
        run(options(data, manual_seed=8, train__ema_decay=0.0), tmp_path, "--auto_resume")


def test_a_state_holds_all_that_a_run_is(data, tmp_path):
    assert run(options(data, datasets__train__num_worker_per_gpu=2), tmp_path) == 0
    state = load_state(tmp_path / "experiments/run/training_states/4.state")
    assert {"epoch", "iter", "optimizers", "schedulers"} <= state.keys()  # BasicSR's
    assert state["iter"] == 4
    assert state["sampler"]["position"] == 16  # used, not handed out to workers
    assert set(state["networks"]) == {"net_g", "net_g_ema"}
    assert set(state["random"][0]) == {"python", "numpy", "torch", "cuda"}
    assert state["best"]["noise_val"]["psnr"]["iter"] == 4
    assert state["optimizers"][0]["state"]


DATASET = """
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.registry import DATASET_REGISTRY

@DATASET_REGISTRY.register()
class DatasetFromAFile(PairedImageDataset):
    pass
"""


@pytest.mark.slow
def test_spawned_workers_read_a_dataset_from_an_imported_file(data, tmp_path, monkeypatch):
    (tmp_path / "my_dataset.py").write_text(DATASET)
    changes = folders(data) | {"datasets__train__type": "DatasetFromAFile"}
    opt = options(data, **changes, datasets__train__num_worker_per_gpu=1, train__total_iter=2)
    opt["imports"] = [str(tmp_path / "my_dataset.py")]
    monkeypatch.setattr(sys, "path", list(sys.path))
    method = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        assert run(opt, tmp_path) == 0
    finally:
        multiprocessing.set_start_method(method, force=True)
