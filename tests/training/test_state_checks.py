"""States that were changed outside of training are refused before anything in them is loaded."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from repository import REPOSITORY
from tiny_models import batch, build_model, iterate
from training_runs import options, run

from lrfdn_arch.training.checkpoint import load_state, restore_model, save_state, save_torch
from lrfdn_arch.training.checks import check_start
from lrfdn_arch.training.random_state import random_state

PATHS = os.pathsep.join(map(str, (REPOSITORY / "tests", REPOSITORY)))
NAN = float("nan")
MODELS = {
    "ours": {},
    "float16": {"use_amp": True},
    "basicsr": {
        "model_type": "SRModel",
        "datasets__train__output": "float32",
        "train__scheduler": {"type": "MultiStepLR", "milestones": [3, 6], "gamma": 0.5},
    },
}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """saved(model) -> a new model, and the state of one like it after two iterations."""

    def make(name: str) -> tuple[Any, dict[str, Any]]:
        trained = build_model(tmp_path, **MODELS[name])
        iterate(trained, batch(dtype=torch.float32), 1, 2)
        more = {
            "sampler": {"position": 8, "seed": 7, "length": 6},
            "random": [random_state()],
            "best": {"noise_val": {"psnr": {"val": float("inf"), "iter": 2}}},
            "owes_validation": False,
        }
        save_state(trained, tmp_path / "2.state", 0, 2, **more)
        return build_model(tmp_path, **MODELS[name]), load_state(tmp_path / "2.state")

    return make


def resume(model: Any, state: Any, folder: Path) -> None:
    """Write ``state`` as it is, read it and load it into ``model``."""
    path = folder / "changed.state"
    save_torch(path, state)
    restore_model(model, load_state(path), path)


def weights_of(model: Any) -> list[torch.Tensor]:
    networks = (model.net_g, model.net_g_ema)
    return [weight.clone() for network in networks for weight in network.state_dict().values()]


def change(state: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of ``state`` with ``value`` (or what it makes of the old one) at ``path``."""
    state = copy.deepcopy(state)
    *sections, last = (int(key) if key.isdigit() else key for key in path.split("/"))
    section = state
    for key in sections:
        section = section[key]
    section[last] = value(section[last]) if callable(value) else value
    return state


ADAM = "optimizers/0/state/0"
EVERYWHERE = [
    ("format", 99, "format 99, and this version reads formats up to 1"),
    ("format", "1", "format: expected a whole number, found '1'"),
    ("iter", -5, "iter: expected greater than or equal to 0, found -5"),
    ("iter", True, "iter: expected a whole number, found True"),
    ("iter", 2.0, "iter: expected a whole number, found 2.0"),
    ("networks/net_g/fea_conv.weight", lambda w: w * NAN, "values that are not finite"),
    ("networks/net_g_ema/fea_conv.bias", lambda w: w / 0, "values that are not finite"),
    ("networks/net_g/fea_conv.weight", lambda w: w[:1].expand(w.shape), "damaged: its net_g"),
    ("networks/net_g/fea_conv.weight", lambda w: w.double(), "float64 of shape"),
    ("networks/net_g/fea_conv.weight", lambda w: w.to_sparse(), "damaged: its net_g"),
    ("networks/net_g", [1], "networks:net_g: expected a dictionary, found [1]"),
    ("networks", None, ""),
    ("optimizers", [], "has 0 optimizers, expected 1"),
    ("optimizers", 3, "optimizers: expected a list, found 3"),
    ("optimizer_types", ["SGD"], "was saved with SGD"),
    ("optimizer_types", 5, "optimizer_types: expected a list, found 5"),
    ("optimizers/0/param_groups/0/lr", NAN, "its learning rate is nan"),
    ("optimizers/0/param_groups/0/lr", 10**400, "its learning rate is 1000"),
    ("optimizers/0/param_groups/0/lr", -1.0, "its learning rate is -1.0"),
    ("optimizers/0/param_groups/0/betas", (0.9, NAN), "optimizer:betas:1 is nan"),
    ("optimizers/0/param_groups/0/betas", 0.9, "optimizer:betas has none, expected 0, 1"),
    ("optimizers/0/param_groups/0/params", [0, 0], "the state has other ones"),
    ("optimizers/0/param_groups", [], "parameter groups"),
    ("optimizers/0/state", [], "state is not a dict"),
    (f"{ADAM}/exp_avg", torch.zeros(3), "weight 0:exp_avg is float32 of shape (3,)"),
    (f"{ADAM}/exp_avg", torch.zeros(0), "weight 0:exp_avg is float32 of shape (0,)"),
    (f"{ADAM}/exp_avg_sq", lambda w: w.half(), "weight 0:exp_avg_sq is float16"),
    (f"{ADAM}/exp_avg_sq", lambda w: w[:1].expand(w.shape), "not a plain tensor"),
    (f"{ADAM}/exp_avg", lambda w: w + NAN, "exp_avg contains values that are not finite"),
    (f"{ADAM}/exp_avg", "text", "exp_avg is not a plain tensor"),
    (f"{ADAM}/step", torch.tensor(-3.0), "was updated"),
    (f"{ADAM}/step", torch.tensor([1.0, 2.0]), "step is float32 of shape (2,)"),
    (ADAM, {"exp_avg": torch.zeros(3)}, "weight 0 has exp_avg, expected"),
    (ADAM, 7, "has no weight 0"),
    ("sampler", {"position": 8}, "sampler:seed: this key is needed"),
    ("sampler/position", -1, "sampler:position: expected greater than or equal to 0, found -1"),
    ("sampler/seed", "x", "sampler:seed: expected a whole number, found 'x'"),
    ("random", 5, "random: expected a list, found 5"),
    ("random/0/numpy/2", 10**6, "random:0: not a state of random"),
    (
        "random/0/numpy/1",
        torch.zeros(5, dtype=torch.int64),
        "random:0: not a state of random",
    ),
    (
        "random/0/torch",
        torch.zeros(10, dtype=torch.uint8),
        "random:0: not a state of random",
    ),
    ("random/0/python/1", [1, 2], "random:0: not a state of random"),
    ("best", {"noise_val": {"psnr": 5}}, "best:noise_val:psnr: expected a"),
    ("owes_validation", "no", "owes_validation: expected true or false, found 'no'"),
    ("model", 5, "model: expected a dictionary, found 5"),
]
SOME = {
    "ours": [
        ("model/ema_warmup", "yes", "model:ema_warmup is 'yes'"),
        ("model/branches", {"a": torch.ones(1)}, "other branches than train:reparameterize"),
    ],
    "float16": [
        ("model/scaler/scale", NAN, "model:scaler:scale is nan"),
        ("model/scaler", {"scale": 1.0}, "model:scaler has scale, expected"),
    ],
    "basicsr": [
        ("schedulers", [], "it has 0 schedulers, expected 1"),
        ("schedulers/0/base_lrs", [NAN], "scheduler:base_lrs:0 is nan"),
        ("schedulers/0/last_epoch", "x", "scheduler:last_epoch is 'x'"),
        ("schedulers/0", lambda s: s | {"step": 5}, "scheduler:step would replace a method"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_changed_state_is_refused_and_nothing_of_it_is_loaded(saved, tmp_path, name):
    model, state = saved(name)
    before = weights_of(model)
    accepted = []
    for path, value, words in EVERYWHERE + SOME[name]:
        if path.startswith("model") and name == "basicsr":
            continue  # it has nothing there
        try:
            resume(model, change(state, path, value), tmp_path)
        except (ValueError, OSError) as error:
            assert words in str(error), path
            assert "changed.state" in str(error) or not words, path
        else:
            accepted.append(f"{path}: {value}")
    assert not accepted
    for weight, expected in zip(weights_of(model), before, strict=True):
        assert torch.equal(weight, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_unchanged_state_resumes(saved, tmp_path, name):
    model, state = saved(name)
    resume(model, state, tmp_path)
    iterate(model, batch(dtype=torch.float32), 3)
    assert float(model.optimizer_g.state_dict()["state"][0]["step"]) == 3


def test_steps_counted_by_plain_numbers_are_accepted(saved, tmp_path):
    model, state = saved("ours")  # as torch 1.11 and BasicSR of its time wrote them
    for moments in state["optimizers"][0]["state"].values():
        moments["step"] = int(moments["step"])
    resume(model, state, tmp_path)
    before = float(model.optimizer_g.state_dict()["state"][0]["step"])
    iterate(model, batch(), 3)
    assert float(model.optimizer_g.state_dict()["state"][0]["step"]) > before


def test_weights_that_are_not_finite_are_named_before_the_learning_rate(data, tmp_path, plain_runs):
    assert run(options(data, train__total_iter=1), tmp_path) == 0
    file = tmp_path / "experiments/run/models/net_g_1.pth"
    content = torch.load(file, weights_only=True)
    for key in ("params", "params_ema"):
        content[key]["fea_conv.bias"][2] = NAN
    torch.save(content, tmp_path / "bad.pth")
    bad = options(data, name="bad", path__pretrain_network_g=str(tmp_path / "bad.pth"))
    with pytest.raises(ValueError, match=r"bad\.pth: fea_conv\.bias contains NaN") as caught:
        run(bad, tmp_path)
    assert "train:optim_g:lr" not in str(caught.value)
    assert not (tmp_path / "experiments/bad").exists()
    network = torch.nn.Conv2d(3, 3, 3)
    torch.nn.init.constant_(network.weight, NAN)
    with pytest.raises(ValueError, match="new Conv2d has values that are not finite in weight"):
        check_start(network, "Conv2d")


@pytest.mark.parametrize(("before", "after"), [(0.9, 0.0), (0.0, 0.9), (0.9, 0.5)])
def test_the_momentum_of_sgd_may_change(tmp_path, before, after):
    saved = build_model(tmp_path, train__optim_g={"type": "SGD", "lr": 0.01, "momentum": before})
    iterate(saved, batch(), 1)
    save_state(saved, tmp_path / "1.state", 0, 1)
    model = build_model(tmp_path, train__optim_g={"type": "SGD", "lr": 0.01, "momentum": after})
    restore_model(model, load_state(tmp_path / "1.state"), tmp_path / "1.state")
    iterate(model, batch(), 2)
    assert model.optimizer_g.param_groups[0]["momentum"] == after
    assert all(torch.isfinite(weight).all() for weight in model.net_g.parameters())


@pytest.mark.slow
def test_no_change_of_a_state_crashes_or_ends_in_a_traceback(tmp_path):
    environment = os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_states.py")), str(tmp_path), "60"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    counts = json.loads(result.stdout.splitlines()[-1])
    assert counts["refused"] > 100 and counts["trained on"] > 0, counts
