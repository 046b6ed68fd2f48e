"""The training loop."""

from collections.abc import Mapping
from typing import Any

import torch

from lrfdn_arch.options.dataset import Dataset
from lrfdn_arch.training.session import Session
from lrfdn_arch.training.stopping import StopRequest


def train(session: Session) -> int:
    """Train to the last iteration, or until asked to stop, and return the exit code.

    Raises:
        NotFiniteError: a loss or gradient was not finite; nothing was saved after it.
        OSError: a checkpoint could not be written; the earlier ones are intact.
        ValueError: memory ran out; the message says which option to turn down.
    """
    cadence, log = session.cadence, session.log
    with StopRequest() as stop:
        session.validate_what_is_owed()
        for iteration, batch in session.batches():
            step(session, batch, iteration)
            log.tick(iteration)
            if cadence.should_print(iteration):
                session.report(iteration)
            stopping = iteration < cadence.total and session.agreement.any(
                iteration, stop.requested
            )
            if cadence.should_validate(iteration) and not stopping:
                session.validate(iteration)
            if stopping or cadence.should_save(iteration):
                session.save(iteration)
            if stopping:
                break
    return session.finish(stop)


def step(session: Session, batch: Mapping[str, Any], iteration: int) -> None:
    """Make update ``iteration`` (from 1) from ``batch``; works with any model of BasicSR's.

    Raises:
        NotFiniteError: the update would have destroyed the weights; it was not made.
        ValueError: memory ran out.
    """
    model, train_set = session.model, session.options.train_set
    try:
        model.update_learning_rate(iteration, session.options.train.warmup_iter)
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"the GPU's memory ran out at iteration {iteration}. {_smaller_parts(train_set)}"
            "use_amp=true and amp_bf16=true (after --force_yml) save memory, and so does a smaller "
            "datasets:train:gt_size"
        ) from error


def _smaller_parts(train_set: Dataset) -> str:
    """Return how to make the same batch of smaller parts, if it has more than one image."""
    size = train_set.batch_size_per_gpu or 1
    if size == 1:
        return ""
    smaller = next(n for n in range(size // 2, 0, -1) if size % n == 0)
    parts = train_set.accum_iter * size // smaller
    return (
        f"For the same result with 1/{size // smaller} of the memory: --force_yml "
        f"datasets:train:batch_size_per_gpu={smaller} datasets:train:accum_iter={parts}. Also, "
    )
