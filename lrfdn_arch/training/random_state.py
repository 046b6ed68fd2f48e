"""The random states of a process, saved and restored; seeds for single samples."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

_NUMPY_WORDS = 624  # of its Mersenne twister


def random_state() -> dict[str, Any]:
    """Return the state of every generator in use, as plain values and tensors."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)  # a tuple
    return {
        "python": [version, list(words), gauss],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys, np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Restore every generator to ``state``, made by :func:`random_state`."""
    random.setstate(_for_python(state))
    np.random.set_state(_for_numpy(state))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def check_random_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return ``state`` if generators accept it; tried on generators of its own.

    Raises:
        ValueError: one does not.
    """
    try:
        random.Random().setstate(_for_python(state))
        _, keys, position, *_ = numpy = _for_numpy(state)
        # numpy itself does not check the position
        fits = keys.shape == (_NUMPY_WORDS,) and 0 <= position <= _NUMPY_WORDS
        np.random.RandomState().set_state(numpy)
        torch.Generator().set_state(state["torch"])
        fits &= all(cuda.dtype == torch.uint8 and cuda.dim() == 1 for cuda in state["cuda"])
    except Exception as error:  # they refuse wrong states in many ways
        raise ValueError(f"not a state of random generators ({error})") from error
    if not fits:
        raise ValueError("not a state of random generators")
    return state


def _for_python(state: Mapping[str, Any]) -> tuple[Any, ...]:
    version, words, gauss = state["python"]
    return version, tuple(words), None if gauss is None else float(gauss)


def _for_numpy(state: Mapping[str, Any]) -> tuple[Any, ...]:
    name, keys, position, has_gauss, cached = state["numpy"]
    return name, keys.numpy().astype(np.uint32), position, has_gauss, cached


def derive_seed(*parts: int) -> int:
    """Return a seed in [0, 2**32) that depends on all of ``parts`` and on nothing else."""
    text = ":".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=4).digest(), "little")


def seed_everything(*parts: int) -> None:
    """Seed every generator with what :func:`derive_seed` derives from ``parts``."""
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # CUDA's too


@contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Run a block with every generator of the CPU seeded, and restore them afterwards."""
    python, numpy, seed = random.getstate(), np.random.get_state(), derive_seed(*parts)
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed)
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
