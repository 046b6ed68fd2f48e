"""The training loop, and what one iteration does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrfdn_arch.device import compiler_errors, memory_errors
from lrfdn_arch.options.dataset import Dataset
from lrfdn_arch.training.stop_signal import StopSignal
from lrfdn_arch.training.trainer import Trainer


def train(trainer: Trainer, stop: StopSignal) -> int:
    """Train to the last iteration or until ``stop`` is requested, and return the exit code.

    Raises:
        NotFiniteError: a loss or gradient was not finite; nothing was saved after it.
        WorkerDiedError: a worker of the data loader ended; everything trained is saved.
        OSError: a checkpoint could not be written; the earlier ones are intact.
    """
    stop.deferred = True
    if trainer.owes_validation:
        trainer.validate(trainer.start)  # so that results do not depend on stops
    for iteration, batch in trainer.batches():
        step(trainer, batch, iteration)
        trainer.log.tick(iteration)
        if trainer.should_print(iteration):
            trainer.report(iteration)
        stopping = iteration < trainer.total and trainer.agree_to_stop(stop.requested)
        trainer.owes_validation = trainer.should_validate(iteration)
        if trainer.owes_validation and not stopping:
            trainer.validate(iteration)
        if stopping or trainer.should_save(iteration):
            trainer.save(iteration)
        if stopping:
            break
    return trainer.finish(stop)


def step(trainer: Trainer, batch: Mapping[str, Any], iteration: int) -> None:
    """Make update ``iteration`` (from 1) from ``batch``, with any model of BasicSR."""
    model = trainer.model
    model.update_learning_rate(iteration, trainer.options.train.warmup_iter)
    model.feed_data(batch)
    model.optimize_parameters(iteration)


@contextmanager
def device_errors(train_set: Dataset) -> Iterator[None]:
    """Raise ValueError with advice where memory runs out, or a compiler is missing."""
    try:
        with memory_errors(), compiler_errors("set --force_yml use_compile=false"):
            yield
    except MemoryError as error:
        raise ValueError(
            f"memory ran out: {error}. {_smaller_parts(train_set)}use_amp=true and amp_bf16=true "
            "(after --force_yml) save memory, and so does a smaller datasets:train:gt_size"
        ) from error


def _smaller_parts(train_set: Dataset) -> str:
    """Return how to divide the same batch into smaller parts, if it has more than one image."""
    size = train_set.batch_size_per_gpu or 1
    if size == 1:
        return ""
    smaller = next(n for n in range(size // 2, 0, -1) if size % n == 0)
    parts = train_set.accum_iter * size // smaller
    return (
        f"For the same result with 1/{size // smaller} of the memory: --force_yml "
        f"datasets:train:batch_size_per_gpu={smaller} datasets:train:accum_iter={parts}. Also, "
    )
