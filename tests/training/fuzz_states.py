"""Changes training states at random: each is refused with a message, or trains on.

A program of its own, because a state that gets past the checks can crash the process:
python fuzz_states.py FOLDER SECONDS
"""

import copy
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tiny_models import batch, build_model, iterate

from lrfdn_arch.data.sampler import EndlessSampler
from lrfdn_arch.training.checkpoint import load_state, restore_model, save_state, save_torch
from lrfdn_arch.training.finite import NotFiniteError
from lrfdn_arch.training.random_state import random_state, restore_random_state

MODELS: dict[str, dict[str, Any]] = {
    "Adam": {},
    "Muon": {"train__optim_g": {"type": "Muon", "lr": 0.01}, "use_channels_last": True},
    "SGD": {"train__optim_g": {"type": "SGD", "lr": 0.01, "momentum": 0.9}},
    "SRModel": {
        "model_type": "SRModel",
        "train__scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5},
    },
}
DTYPES = (torch.float32, torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool)
shapes = st.lists(st.integers(0, 9), max_size=5)
tensors = st.builds(
    lambda shape, dtype: torch.ones(shape, dtype=dtype), shapes, st.sampled_from(DTYPES)
)
plain = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | st.text(max_size=5)
keys = st.text(max_size=3) | st.integers(0, 3)
values = st.recursive(
    plain | tensors,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=4,
)


def paths(value: Any, path: tuple = ()) -> list[tuple]:
    """Return the paths of everything in nested dicts and lists."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    items = value.items() if isinstance(value, dict) else ()
    return [p for key, inner in items for p in [(*path, key), *paths(inner, (*path, key))]]


def change(state: dict, path: tuple, kind: str, value: Any) -> None:
    """Replace, remove, rename or distort what is at ``path``."""
    section: Any = state
    for key in path[:-1]:
        section = section[key]
    last, old = path[-1], section[path[-1]]
    if kind == "remove":
        del section[last]
    elif kind == "rename" and isinstance(section, dict) and isinstance(value, str | int):
        section[value] = section.pop(last)
    elif kind == "distort" and isinstance(old, torch.Tensor) and old.numel() and old.dim():
        distorted = (
            old.flatten()[:-1],
            old.flatten()[:1].expand(old.shape),
            old[None],
            old * float("nan"),
            -old,
            old.double(),
        )
        section[last] = distorted[hash(str(value)) % len(distorted)]
    else:
        section[last] = value


def main(folder: Path, seconds: float) -> None:
    torch.set_num_threads(1)
    counts, models = {"refused": 0, "trained on": 0}, {}
    start = {k: w.clone() for k, w in build_model(folder).net_g.state_dict().items()}
    data, saved = batch(dtype=torch.float32), {}
    for name, changes in MODELS.items():
        model = build_model(folder, **changes)
        iterate(model, data, 1, 2)
        more = {
            "sampler": {"position": 8, "seed": 7, "length": 6},
            "random": [random_state()],
            "best": {"noise_val": {"psnr": {"val": 31.0, "iter": 2}}},
            "owes_validation": False,
        }
        save_state(model, folder / "2.state", 0, 2, **more)
        saved[name] = load_state(folder / "2.state")
    deadline = time.monotonic() + seconds

    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(st.sampled_from(list(MODELS)), st.data())
    def attack(name: str, drawn: st.DataObject) -> None:
        state = copy.deepcopy(saved[name])
        for _ in range(drawn.draw(st.integers(1, 3))):
            choices = paths(state)
            if not choices:
                break
            kind = drawn.draw(st.sampled_from(("replace", "remove", "rename", "distort")))
            change(state, drawn.draw(st.sampled_from(choices)), kind, drawn.draw(values))
        path = folder / "changed.state"
        save_torch(path, state)
        model = models.pop(name, None) or build_model(folder, **MODELS[name])
        try:
            state = load_state(path)
            restore_model(model, state, path)
            if state.get("sampler"):
                EndlessSampler(6, seed=7).load_state_dict(state["sampler"])
        except (ValueError, OSError) as error:
            counts["refused"] += 1
            assert str(error)
            now = model.net_g.state_dict()
            assert all(torch.equal(now[key], weight) for key, weight in start.items())
            models[name] = model
            return
        for one in state.get("random", []):
            restore_random_state(one)
        for records in state.get("best", {}).values():
            assert all(isinstance(record["val"], float) for record in records.values())
        try:
            iterate(model, data, state["iter"] + 1, state["iter"] + 2)
            save_state(model, folder / "3.state", 0, state["iter"] + 2)
        except NotFiniteError:
            pass
        counts["trained on"] += 1

    for number in itertools.count():
        if time.monotonic() > deadline:
            break
        seed(number)(attack)()
    print(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
