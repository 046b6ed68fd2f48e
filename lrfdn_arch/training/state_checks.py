"""Checks of a training state before anything in it is loaded.

A state that was changed outside of training, or belongs to another run, must not reach optimizers:
fused kernels trust shapes and crash the process where they are wrong. Everything is compared with
what this run would have saved.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrfdn_arch.text import first_few
from lrfdn_arch.training.random_state import check_random_state
from lrfdn_arch.training.value_checks import (
    differences,
    is_count,
    is_list_of_dicts,
    is_nothing,
    is_number,
    is_plain_number,
    shapes,
)

FORMAT = 1  # of the keys in a state that BasicSR does not have
_NEEDED = {"lr", "betas", "eps", "weight_decay"}  # of BasicSR's Adam; ours are the option file's


def check_contents(state: Any, path: Path) -> None:
    """Check everything in a state that can be checked without the model.

    Raises:
        ValueError: it is not a state, or a value in it cannot be.
    """
    if not isinstance(state, Mapping) or not {"iter", "optimizers"} <= state.keys():
        raise ValueError(f"{path} is not a training state: 'iter' or 'optimizers' is missing")
    if is_count(state.get("format")) and state["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {state['format']}, and this version reads formats up to {FORMAT}; "
            "resume with the version of lrfdn_arch that saved it, or a newer one"
        )
    counts = {"iter": state["iter"], "format": state.get("format", FORMAT)}
    sampler = state.get("sampler", {"position": 0, "seed": 0, "length": 0})
    faults = []
    if isinstance(sampler, Mapping) and {"position", "seed", "length"} <= sampler.keys():
        counts |= {f"sampler:{name}": value for name, value in sampler.items()}
    else:
        faults.append("sampler has other keys than position, seed and length")
    for name, value in counts.items():
        if not is_count(value):
            faults.append(f"{name} is {value!r}, expected a whole number from 0")
    if not isinstance(state.get("owes_validation", False), bool):
        faults.append("owes_validation is not true or false")
    types = state.get("optimizer_types", [])
    if not isinstance(types, list) or not all(isinstance(one, str) for one in types):
        faults.append("optimizer_types is not a list of names")
    if not is_list_of_dicts(state["optimizers"]):
        faults.append("optimizers is not a list of dicts")
    faults += _best_faults(state.get("best", {}))
    faults += _random_faults(state.get("random", []))
    _raise(faults, path)


def check_fits(
    state: Mapping[str, Any], networks: Mapping[str, nn.Module], model: Any, path: Path
) -> None:
    """Check that a state fits the networks, optimizers and schedulers of this run.

    Args:
        state: with ``networks``; :func:`check_contents` has checked the rest.
        networks: those of ``model`` by name.
        model: a BasicSR model.
        path: of the state, for messages.

    Raises:
        ValueError: it does not fit.
    """
    saved = state["networks"]
    for name, network in networks.items():
        if not isinstance(saved, Mapping) or name not in saved:
            raise ValueError(f"{path} has no {name}; was it saved with other options (EMA)?")
        _check_network(network, saved[name], name, path)
    here = [type(optimizer).__name__ for optimizer in model.optimizers]
    if state.get("optimizer_types", here) != here:
        raise ValueError(
            f"{path} was saved with {', '.join(state['optimizer_types'])}, the option file has"
            f" {', '.join(here)} (train:optim_g:type). To continue with another optimizer "
            "start a new run from the weights (path:pretrain_network_g)"
        )
    own = model.state_dict() if hasattr(model, "state_dict") else {}
    found = state.get("model", {})
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} is damaged: its model is not a dict")
    if shapes(found.get("branches", {})) != shapes(own.get("branches", {})):
        raise ValueError(f"{path} has other branches than train:reparameterize specifies")
    # Either run may have had no gradient scaler.
    shared = {k: v for k, v in own.items() if not is_nothing(v) and not is_nothing(found.get(k))}
    faults = [*differences({k: found[k] for k in shared}, shared, "model")]
    if len(state["optimizers"]) != len(here):
        faults.append(f"it has {len(state['optimizers'])} optimizers, expected {len(here)}")
    for optimizer, found in zip(model.optimizers, state["optimizers"], strict=False):
        faults += optimizer_faults(found, optimizer)
    schedulers = state.get("schedulers", [])
    if model.schedulers and not (
        is_list_of_dicts(schedulers) and len(schedulers) == len(model.schedulers)
    ):
        faults.append(f"it lacks the states of {len(model.schedulers)} schedulers")
    else:
        for scheduler, found in zip(model.schedulers, schedulers, strict=False):
            faults += _scheduler_faults(found, scheduler)
    _raise(faults, path)


def _check_network(network: nn.Module, found: Any, name: str, path: Path) -> None:
    from lrfdn_arch.archs import recognize

    own = network.state_dict()
    if shapes(found) is None:
        raise ValueError(f"{path} is damaged: its {name} is not a mapping from names to weights")
    differing = [k for k in own if k not in found or own[k].shape != found[k].shape]
    differing += [k for k in found if k not in own]
    if differing:
        known = recognize(found)
        raise ValueError(
            f"{path}: its {name} is not the network of the option file ({len(differing)} weights "
            f"differ, the first is {differing[0]})"
            + (f"; it seems to be {known[0].describe(known[1])}" if known else "")
            + ". Give the option file this state was saved with, or start a run of another name"
        )
    _raise([*differences(found, own, name)], path)


def optimizer_faults(found: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> Iterator[str]:
    """Yield where ``found`` differs from the state that ``optimizer`` has after a step."""
    expected = _after_one_step(optimizer)
    groups: Any = found.get("param_groups")
    moments = found.get("state")
    if not is_list_of_dicts(groups) or len(groups) != len(expected["param_groups"]):
        yield f"the optimizer has {len(expected['param_groups'])} parameter groups, the state not"
        return
    for group, own in zip(groups, expected["param_groups"], strict=True):
        params = group.get("params")
        if (
            not isinstance(params, list)
            or not all(map(is_count, params))
            or params != own["params"]
        ):
            yield f"the optimizer has {len(own['params'])} weights, the state has other ones"
        for extra in ("amsgrad", "centered"):
            if group.get(extra, False) is not own.get(extra, False):
                yield f"it was saved with {extra}: {group.get(extra, False)}"
        if not is_number(group.get("lr")) or group["lr"] < 0:
            yield f"its learning rate is {group.get('lr')!r}"
        present = (group.keys() | _NEEDED) - {"params"}
        numbers = {k: v for k, v in own.items() if k in present and is_plain_number(v)}
        yield from differences({k: group.get(k) for k in numbers}, numbers, "optimizer")
    if not isinstance(moments, Mapping):
        yield "the optimizer's state is not a dict"
        return
    for number, found_moments in moments.items():
        own_moments = expected["state"].get(number)
        if own_moments is None or not isinstance(found_moments, Mapping):
            yield f"the optimizer has no weight {number!r}"
            continue
        names = own_moments.keys()
        if isinstance(optimizer, torch.optim.SGD):  # it can start its momentum at any time
            found_moments = {k: v for k, v in found_moments.items() if v is not None}
            names = names & found_moments.keys()
        if names != found_moments.keys():
            yield (
                f"weight {number} has {first_few(map(str, found_moments))}, expected "
                + first_few(map(str, own_moments))
            )
            continue
        part = {name: own_moments[name] for name in names}
        yield from differences(found_moments, part, f"weight {number}")
        step = found_moments.get("step", 0)
        if is_number(step) and step < 0:
            yield f"weight {number} was updated {step} times"


def _after_one_step(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state that ``optimizer`` has after its first step; it is left unchanged."""
    trial = deepcopy(optimizer)
    for group in trial.param_groups:
        if isinstance(trial, torch.optim.SGD):
            group["momentum"] = group["momentum"] or 0.9  # a state may have one all the same
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    trial.step()
    return trial.state_dict()


def _scheduler_faults(found: Mapping[str, Any], scheduler: Any) -> Iterator[str]:
    """Yield faults of a scheduler's state: it becomes the scheduler's attributes as it is."""
    own = scheduler.state_dict()
    for name, value in found.items():
        if name in own and is_plain_number(own[name]):
            yield from differences(value, own[name], f"scheduler:{name}")
        elif name in own and not isinstance(value, type(own[name])):
            yield f"scheduler:{name} is {value!r}"
        elif name not in own and hasattr(scheduler, str(name)):
            yield f"scheduler:{name} would replace a method"


def _random_faults(states: Any) -> Iterator[str]:
    if not isinstance(states, list):
        yield "random is not a list"
        return
    for number, state in enumerate(states):
        try:
            check_random_state(state)
        except Exception as error:  # generators refuse wrong states in many ways
            yield f"random:{number} is not a state of random generators ({error})"


def _best_faults(best: Any) -> Iterator[str]:
    datasets = best.values() if isinstance(best, Mapping) else [None]
    for metrics in datasets:
        for record in metrics.values() if isinstance(metrics, Mapping) else [None]:
            if (
                not isinstance(record, Mapping)
                or not is_plain_number(record.get("val"))
                or not is_count(record.get("iter"))
            ):
                yield "best is not a mapping from dataset and metric to val and iter"
                return


def _raise(faults: Sequence[str], path: Path) -> None:
    if faults:
        raise ValueError(f"{path} cannot be resumed from: {first_few(faults, separator='; ')}")
