"""A training run: what it consists of, and what happens between iterations."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrfdn_arch.data.sampler import EndlessSampler
from lrfdn_arch.options import Placement, TrainOptions
from lrfdn_arch.training.checkpoint import RunFolder
from lrfdn_arch.training.checks import check_readable
from lrfdn_arch.training.distributed import Agreement, gather
from lrfdn_arch.training.finite import check_finite
from lrfdn_arch.training.loader import (
    basicsr_epoch,
    batches_on_device,
    global_batch,
    without_workers,
)
from lrfdn_arch.training.peers import Peers
from lrfdn_arch.training.random_state import random_state
from lrfdn_arch.training.run_logger import RunLogger
from lrfdn_arch.training.stop_signal import StopSignal
from lrfdn_arch.training.validation import BestMetrics, update_best, validate_model
from lrfdn_arch.training.workers import WorkerDiedError


@dataclass
class Trainer:
    """A run, ready to train.

    Attributes:
        options: the checked option file.
        opt: the same as BasicSR's dict.
        placement: where this process runs.
        model: any model of BasicSR's MODEL_REGISTRY.
        sampler: the order of samples, at the position where the run starts.
        loader: yields this process's batches in that order.
        validations: a loader for each validation set, by its name.
        folder: writes checkpoints.
        log: prints and writes numbers.
        peers: the other processes, if there are any.
        start: the iteration the run starts after; 0 for a new one.
        best: the best metrics so far.
        owes_validation: a validation is due at ``start``, before which the run was stopped.
    """

    options: TrainOptions
    opt: Mapping[str, Any]
    placement: Placement
    model: Any
    sampler: EndlessSampler
    loader: DataLoader
    validations: Mapping[str, DataLoader]
    folder: RunFolder
    log: RunLogger
    peers: Peers
    start: int = 0
    best: BestMetrics = field(default_factory=dict)
    owes_validation: bool = False

    def __post_init__(self) -> None:
        self.total = self.options.train.total_iter
        self.iteration = self._saved = self.start
        self._agreement = Agreement(self.placement)
        self._samples_at_start = self.sampler.state_dict()["position"]
        self._dead_worker: WorkerDiedError | None = None

    def _is_due(self, iteration: int, every: int | None) -> bool:
        return iteration == self.total or (every is not None and iteration % every == 0)

    def should_print(self, iteration: int) -> bool:
        """Return whether a line of the log follows ``iteration``."""
        return self._is_due(iteration, self.options.logger.print_freq)

    def should_save(self, iteration: int) -> bool:
        """Return whether a checkpoint follows ``iteration``."""
        return self._is_due(iteration, self.options.logger.save_checkpoint_freq)

    def should_validate(self, iteration: int) -> bool:
        """Return whether a validation follows ``iteration``."""
        every = self.options.val.val_freq if self.options.val else None
        return bool(self.validations) and self._is_due(iteration, every)

    @property
    def samples(self) -> int:
        """Samples used so far, by all processes since iteration 1: the sampler's position.

        The sampler itself is ahead, because workers fetch samples before training uses them.
        """
        batch = global_batch(self.options, self.placement)
        return self._samples_at_start + (self.iteration - self.start) * batch

    def batches(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the number and the batch of every remaining iteration.

        Raises:
            WorkerDiedError: a worker of the loader ended; a single process has saved before.
            ValueError: likewise, because an LMDB cannot be read.
        """
        if self.start >= self.total:
            return
        self.log.begin()
        source = self._source(self.loader)
        for iteration in range(self.start + 1, self.total + 1):
            self.peers.activity = f"waiting for the data of iteration {iteration:,}"
            began = time.perf_counter()
            try:
                batch = next(source)
            except WorkerDiedError as error:
                if not self.placement.distributed:
                    self.save(self.iteration)
                check_readable(self.loader.dataset)
                if not self.placement.distributed:
                    raise
                # The other processes are in the next iteration already and stop after it with this
                # one, which makes the batches until then itself.
                self._dead_worker = error
                self.sampler.load_state_dict(self.sampler.state_dict(self.samples))
                source = self._source(without_workers(self.loader))
                batch = next(source)
            self.log.waited += time.perf_counter() - began
            self.iteration = iteration
            self.peers.activity = f"in iteration {iteration:,}"
            yield iteration, batch

    def _source(self, loader: DataLoader) -> Iterator[Mapping[str, Any]]:
        precision = getattr(self.model, "precision", None)
        layout = precision.memory_format if precision else torch.contiguous_format
        return batches_on_device(loader, self.model.device, layout)

    def agree_to_stop(self, requested: bool) -> bool:
        """Return whether the run stops after this iteration, the same in all processes."""
        return self._agreement.any(self.iteration, requested or self._dead_worker is not None)

    def report(self, iteration: int) -> None:
        """Print and write the losses since the last report; waits for the device."""
        check_finite(self.model, iteration)
        rate = self.model.get_current_learning_rate()[0]
        epoch = self.samples / self.sampler.length
        self.log.training(iteration, epoch, rate, self.model.get_current_log())

    def validate(self, iteration: int) -> None:
        """Measure the model on every validation set; save its weights if they are the best so far.

        If that fails, what was trained is saved first, where one process can do it alone.
        """
        check_finite(self.model, iteration)
        try:
            with self.log.paused():
                self._validate(iteration)
        except Exception:
            if not self.placement.distributed:
                self.save(iteration)
            raise
        self.owes_validation = False

    def _validate(self, iteration: int) -> None:
        for number, (name, loader) in enumerate(self.validations.items()):
            folder = Path(self.opt["path"]["visualization"]) / "{name}"
            averages = validate_model(
                self.model, loader, self.options, folder, str(iteration), self._show_progress
            )
            first = next(iter(averages.values()))
            improved = update_best(self.best, name, first, self.options, iteration)
            self.log.validation(iteration, name, averages, self.best)
            if number == 0 and improved and self.placement.rank == 0:
                self.folder.save_weights(self.model, "best")

    def _show_progress(self, text: str) -> None:
        self.peers.activity = text
        self.log.progress(text)

    def save(self, iteration: int) -> None:
        """Write the checkpoint of ``iteration``; all processes must call this."""
        if self._saved == iteration:
            return
        check_finite(self.model, iteration)
        self.peers.activity = f"saving iteration {iteration:,}"
        with self.log.paused():
            more = {
                "sampler": self.sampler.state_dict(self.samples),
                "random": gather(random_state(), self.placement),
                "best": self.best,
                "owes_validation": self.owes_validation,
            }
            if self.placement.rank == 0:
                length, processes = self.sampler.length, self.placement.world_size
                epoch = basicsr_epoch(self.options, length, processes, iteration)
                self.folder.save(self.model, epoch, iteration, more)
        self._saved = iteration

    def finish(self, stop: StopSignal) -> int:
        """Save the latest weights of a complete run, and return the exit code.

        Raises:
            WorkerDiedError: that was why the run stopped.
        """
        if self._dead_worker is not None:
            raise self._dead_worker
        if self.iteration < self.total:
            self.log.note(f"stopped after iteration {self.iteration:,}; resume with --auto_resume")
            return stop.exit_code
        if self.placement.rank == 0:
            self.folder.save_weights(self.model, "latest")
        return 0
