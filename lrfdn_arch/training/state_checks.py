"""Checks of a training state before anything in it is loaded.

A state that was changed outside of training, or belongs to another run, must not reach optimizers:
fused kernels trust shapes and crash the process where they are wrong. Everything is compared with
what this run would have saved.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from lrfdn_arch.options.faults import pydantic_faults
from lrfdn_arch.text import first_few
from lrfdn_arch.training.random_state import check_random_state
from lrfdn_arch.weights.loading import check_weights

FORMAT = 1  # of the keys in a state that BasicSR does not have
_NEEDED = {"lr", "betas", "eps", "weight_decay"}  # of BasicSR's Adam; ours are the option file's
_LARGEST = 2**63  # floats take no larger integers
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Sampler(_Part):
    position: Count
    seed: Count
    length: Count


class _Record(_Part):
    val: float
    iter: Count


class _State(_Part):
    """What a state contains besides values that are compared with the model's."""

    format: Count = FORMAT
    iter: Count
    optimizers: list[dict[str, Any]]
    optimizer_types: list[str] = []
    schedulers: list[dict[str, Any]] = []
    networks: dict[str, dict[str, Any]] | None = None
    model: dict[str, Any] = {}
    sampler: _Sampler | None = None
    random: list[Annotated[dict[str, Any], AfterValidator(check_random_state)]] = []
    best: dict[str, dict[str, _Record]] = {}
    owes_validation: bool = False


def check_contents(state: Any, path: Path) -> None:
    """Check everything in a state that can be checked without the model.

    Raises:
        ValueError: it is not a state, or a value in it cannot be.
    """
    if not isinstance(state, dict) or not {"iter", "optimizers"} <= state.keys():
        raise ValueError(f"{path} is not a training state: 'iter' or 'optimizers' is missing")
    try:
        found = _State.model_validate(state).format
    except ValidationError as error:
        _refuse([fault.describe() for fault in pydantic_faults(error)], path)
        raise
    if found > FORMAT:
        raise ValueError(
            f"{path} has format {found}, and this version reads formats up to {FORMAT}; resume "
            "with the version of lrfdn_arch that saved it, or a newer one"
        )


def check_fits(
    state: Mapping[str, Any], networks: Mapping[str, nn.Module], model: Any, path: Path
) -> None:
    """Check that ``state``, read from ``path``, fits the networks and the rest of a BasicSR model.

    It has ``networks``; :func:`check_contents` has checked what does not depend on the model.

    Raises:
        ValueError: it does not fit.
    """
    for name, network in networks.items():
        if name not in state["networks"]:
            raise ValueError(f"{path} has no {name}; was it saved with other options (EMA)?")
        saved = state["networks"][name]
        if not all(map(_is_plain_tensor, saved.values())):
            raise ValueError(
                f"{path} is damaged: its {name} is not a mapping from names to weights"
            )
        try:
            check_weights(network, saved, f"{path}: its {name}")
        except ValueError as error:
            raise ValueError(f"{error}, or start a run of another name") from None
        _refuse([*differences(saved, network.state_dict(), name)], path)
    here = [type(optimizer).__name__ for optimizer in model.optimizers]
    if state.get("optimizer_types", here) != here:
        raise ValueError(
            f"{path} was saved with {', '.join(state['optimizer_types'])}, the option file has"
            f" {', '.join(here)} (train:optim_g:type). To continue with another optimizer "
            "start a new run from the weights (path:pretrain_network_g)"
        )
    own = model.state_dict() if hasattr(model, "state_dict") else {}
    found = state.get("model", {})
    if [*differences(found.get("branches", {}), own.get("branches", {}), "branches")]:
        raise ValueError(f"{path} has other branches than train:reparameterize specifies")
    # Either run may have had no gradient scaler.
    shared = {k: v for k, v in own.items() if not _is_empty(v) and not _is_empty(found.get(k))}
    faults = [*differences({k: found[k] for k in shared}, shared, "model")]
    for kind, faults_of in (("optimizers", optimizer_faults), ("schedulers", _scheduler_faults)):
        saved, ours = state.get(kind, []), getattr(model, kind)
        if len(saved) != len(ours) and ours:
            faults.append(f"it has {len(saved)} {kind}, expected {len(ours)}")
        for one, other in zip(saved, ours, strict=False):
            faults += faults_of(one, other)
    _refuse(faults, path)


def optimizer_faults(found: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> Iterator[str]:
    """Yield where ``found`` differs from the state that ``optimizer`` has after a step."""
    expected = _after_one_step(optimizer)
    groups, moments = found.get("param_groups"), found.get("state")
    if not isinstance(groups, list) or len(groups) != len(expected["param_groups"]):
        yield f"the optimizer has {len(expected['param_groups'])} parameter groups, the state not"
        return
    for group, own in zip(groups, expected["param_groups"], strict=True):
        if not isinstance(group, Mapping) or repr(group.get("params")) != repr(own["params"]):
            yield f"the optimizer has {len(own['params'])} weights, the state has other ones"
            continue
        for extra in ("amsgrad", "centered"):
            if group.get(extra, False) is not own.get(extra, False):
                yield f"it was saved with {extra}: {group.get(extra, False)}"
        if not _is_number(group.get("lr")) or group["lr"] < 0:
            yield f"its learning rate is {group.get('lr')!r}"
        present = (group.keys() | _NEEDED) - {"params"}
        numbers = {k: v for k, v in own.items() if k in present and _holds_numbers(v)}
        yield from differences({k: group.get(k) for k in numbers}, numbers, "optimizer")
    if not isinstance(moments, Mapping):
        yield "the optimizer's state is not a dict"
        return
    for number, found_moments in moments.items():
        own_moments = expected["state"].get(number)
        if own_moments is None or not isinstance(found_moments, Mapping):
            yield f"the optimizer has no weight {number!r}"
            continue
        if isinstance(optimizer, torch.optim.SGD):  # it can start its momentum at any time
            found_moments = {k: v for k, v in found_moments.items() if v is not None}
            own_moments = {k: v for k, v in own_moments.items() if k in found_moments}
        yield from differences(found_moments, own_moments, f"weight {number}")
        step = found_moments.get("step", 0)
        if _is_number(step) and step < 0:
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
        if name in own and _holds_numbers(own[name]):
            yield from differences(value, own[name], f"scheduler:{name}")
        elif name in own and not isinstance(value, type(own[name])):
            yield f"scheduler:{name} is {value!r}"
        elif name not in own and hasattr(scheduler, name):
            yield f"scheduler:{name} would replace a method"


def differences(found: Any, expected: Any, name: str) -> Iterator[str]:
    """Yield where ``found`` is of another kind or shape than ``expected``, or not finite."""
    if isinstance(expected, Tensor):
        if expected.numel() == 1 and _is_number(found):
            return  # step counters were plain numbers once
        if not _is_plain_tensor(found):
            yield f"{name} is not a plain tensor"
        elif found.shape != expected.shape or found.dtype != expected.dtype:
            yield f"{name} is {_kind(found)}, expected {_kind(expected)}"
        elif not torch.isfinite(found).all():
            yield f"{name} contains values that are not finite"
    elif isinstance(expected, Mapping | list | tuple):
        parts, own = (x if isinstance(x, Mapping) else _numbered(x) for x in (found, expected))
        same = isinstance(found, Mapping) == isinstance(expected, Mapping)
        if not same or parts.keys() != own.keys():
            keys, expected_keys = (first_few(map(str, each)) for each in (parts, own))
            yield f"{name} has {keys}, expected {expected_keys}"
            return
        for key, value in own.items():
            yield from differences(parts[key], value, f"{name}:{key}")
    elif expected is None or isinstance(expected, bool):
        if type(found) is not type(expected):
            yield f"{name} is {found!r}, expected {'nothing' if expected is None else 'a bool'}"
    elif not _is_number(found):
        yield f"{name} is {found!r}, expected a finite number"


def _numbered(values: Any) -> dict[int, Any]:
    return dict(enumerate(values)) if isinstance(values, list | tuple) else {}


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}".removeprefix("torch.")


def _holds_numbers(value: Any) -> bool:
    """Return whether ``value`` is a number, or numbers such as Adam's betas; not a bool."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_holds_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Return whether ``value`` is a finite number or a tensor of one."""
    if isinstance(value, Tensor):
        return _is_plain_tensor(value) and value.numel() == 1 and _is_number(value.item())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= _LARGEST and math.isfinite(value)


def _is_plain_tensor(value: Any) -> bool:
    """Return whether ``value`` is a dense tensor with memory for each of its elements."""
    return (
        isinstance(value, Tensor)
        and not (value.is_meta or value.is_nested or value.is_quantized)
        and value.layout == torch.strided
        and value.stride() == torch.empty_like(value, device="meta").stride()  # else expanded
    )


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and not value)


def _refuse(faults: Sequence[str], path: Path) -> None:
    if faults:
        raise ValueError(f"{path} cannot be resumed from: {first_few(faults, separator='; ')}")
