"""An endless, shuffled, sharded order of samples, as a function of the seed and the position."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

_DOMAIN = 0x73616D70  # separates these random numbers from those of the crops


class SampleKey(NamedTuple):
    """A sample: ``index`` into the dataset, in ``epoch`` (both from 0)."""

    epoch: int
    index: int  # pyright: ignore[reportIncompatibleMethodOverride] (tuple.index is not used)


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """Return the permutation of ``range(length)`` for ``epoch``, (length,) int64.

    Sorting the raw output of a bit generator is a uniform shuffle, and numpy guarantees raw output
    never to change (NEP 19), unlike ``Generator.permutation``.
    """
    bits = np.random.PCG64(np.random.SeedSequence((_DOMAIN, seed, epoch)))
    return np.argsort(bits.random_raw(length), kind="stable")


class EndlessSampler:
    """Yields `SampleKey` without end, each epoch in another order, nothing dropped between epochs.

    Global position ``p`` is sample ``p % length`` of epoch ``p // length``. Rank ``r`` of ``W``
    takes the positions ``start + r, start + r + W, ...``, so W ranks with batches of b together see
    exactly the samples that one process sees in batches of W * b, and a state saved by any number
    of ranks can be resumed by any other number.

    A loader with workers fetches ahead of what the training has used, so the caller counts the
    samples used and passes that number to `state_dict`.

    Raises:
        ValueError: an empty dataset, a negative seed, or a rank outside ``range(world_size)``.
    """

    def __init__(self, length: int, *, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        if length < 1:
            raise ValueError(f"A sampler needs a dataset with at least 1 sample, found {length}.")
        if seed < 0:
            raise ValueError(f"The sampler's seed must be 0 or more, found {seed}.")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be 0 to world_size - 1 = {world_size - 1}, got {rank}.")
        self.length, self.seed = length, seed
        self.rank, self.world_size = rank, world_size
        self._position = 0  # global, where the next round of all ranks starts

    def __iter__(self) -> Iterator[SampleKey]:
        """Continue at the current position; iterators share it."""
        order, ordered_epoch = np.empty(0, np.int64), -1
        while True:
            epoch, offset = divmod(self._position + self.rank, self.length)
            if epoch != ordered_epoch:
                order, ordered_epoch = epoch_order(self.length, self.seed, epoch), epoch
            self._position += self.world_size
            yield SampleKey(epoch, int(order[offset]))

    def state_dict(self, position: int | None = None) -> dict[str, int]:
        """Return ``seed``, ``length`` and ``position``.

        Args:
            position: samples used so far by all ranks together; by default those yielded so far.
        """
        used = self._position if position is None else position
        return {"position": used, "seed": self.seed, "length": self.length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at ``state["position"]``, at a cost that does not depend on the position.

        Raises:
            ValueError: not a sampler's state, or of another dataset length or seed.
        """
        missing = {"position", "seed", "length"} - state.keys()
        if missing:
            raise ValueError(f"Not the state of a sampler: it lacks {', '.join(sorted(missing))}.")
        for name, own in (("length", self.length), ("seed", self.seed)):
            if state[name] != own:
                raise ValueError(
                    f"The saved run sampled with {name} {state[name]}, this one has {own}: the "
                    f"order of samples would differ. Use the same {name}, or start a new run."
                )
        if state["position"] < 0:
            raise ValueError(f"A sampler's position is 0 or more, found {state['position']}.")
        self._position = state["position"]
