"""The training loop."""

from collections.abc import Mapping
from typing import Any

import torch

from lrfdn_arch.engine.session import Session
from lrfdn_arch.engine.stopping import StopRequest


def train(session: Session) -> int:
    """Train to the last iteration, or until asked to stop, and return the exit code.

    Raises:
        NotFiniteError: a loss or gradient was not finite; nothing was saved after it.
        OSError: a checkpoint could not be written; the earlier ones are intact.
        ValueError: memory ran out; the message says which option to turn down.
    """
    cadence, log = session.cadence, session.log
    with StopRequest() as stop:
        for iteration, batch in session.batches(stop):
            step(session, batch, iteration)
            log.tick(iteration)
            if cadence.should_print(iteration):
                session.report(iteration)
            if cadence.should_validate(iteration):
                session.validate(iteration)
            stopping = session.agreement.any(iteration, stop.requested)
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
        size, parts = train_set.batch_size_per_gpu or 1, train_set.accum_iter
        raise ValueError(
            f"the GPU's memory ran out at iteration {iteration}. For the same result in half the "
            f"memory: datasets:train:batch_size_per_gpu={max(1, size // 2)} "
            f"datasets:train:accum_iter={2 * parts} (after --force_yml). use_amp=true and "
            "amp_bf16=true save memory too, and so does a smaller datasets:train:gt_size"
        ) from error
