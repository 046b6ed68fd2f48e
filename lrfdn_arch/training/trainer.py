"""The training loop, and what happens between iterations."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from lrfdn_arch.options import Placement, TrainOptions
from lrfdn_arch.training.checkpoint import RunFolder, save_weights
from lrfdn_arch.training.checks import check_readable
from lrfdn_arch.training.distributed import gather
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
from lrfdn_arch.training.validation import Records, update_best, validate_model
from lrfdn_arch.training.workers import WorkerDiedError

_AGREE_EVERY = 10  # iterations


def step(trainer: "Trainer", batch: Mapping[str, Any], iteration: int) -> None:
    """Make update ``iteration`` (from 1) from ``batch``, with any model of BasicSR."""
    model = trainer.model
    model.update_learning_rate(iteration, trainer.options.train.warmup_iter)
    model.feed_data(batch)
    model.optimize_parameters(iteration)


@dataclass
class Trainer:
    """A run, ready to train.

    The loader yields this process's batches in the order of its ``EndlessSampler``, which is at the
    position where the run starts.
    """

    options: TrainOptions
    opt: Mapping[str, Any]  # the same as BasicSR's dict
    placement: Placement
    model: Any  # of BasicSR's MODEL_REGISTRY
    loader: DataLoader
    validations: Mapping[str, DataLoader]  # by the name of the set
    folder: RunFolder
    log: RunLogger
    peers: Peers
    state: Mapping[str, Any]  # what the run resumes from; empty for a new one

    def __post_init__(self) -> None:
        self.sampler: Any = self.loader.sampler
        self.total = self.options.train.total_iter
        self.iteration = self.start = self._saved = self.state.get("iter", 0)
        self.best: dict[str, Records] = self.state.get("best", {})
        # A validation that is due, before which the run was stopped.
        self.owes_validation: bool = self.state.get("owes_validation", False)
        self._samples_at_start = self.sampler.state_dict()["position"]
        self._dead_worker: WorkerDiedError | None = None
        many = self.placement.distributed  # agreeing on the CPU does not wait for a GPU
        self._group: Any = dist.new_group(backend="gloo") if many else None

    def train(self, stop: StopSignal) -> int:
        """Train to the last iteration or until ``stop`` is requested, and return the exit code.

        Raises:
            NotFiniteError: a loss or gradient was not finite; nothing was saved after it.
            WorkerDiedError: a worker of the data loader ended; everything trained is saved.
            OSError: a checkpoint could not be written; the earlier ones are intact.
        """
        stop.deferred = True
        if self.owes_validation:
            self.validate()  # so that results do not depend on stops
        for iteration, batch in self._batches():
            step(self, batch, iteration)
            self.log.tick(iteration)
            if self.should_print(iteration):
                self.report()
            stopping = iteration < self.total and self._agree_to_stop(stop.requested)
            self.owes_validation = self.should_validate(iteration)
            if self.owes_validation and not stopping:
                self.validate()
            if stopping or self.should_save(iteration):
                self.save()
            if stopping:
                break
        if self._dead_worker is not None:
            raise self._dead_worker
        if self.iteration < self.total:
            self.log.note(f"stopped after iteration {self.iteration:,}; resume with --auto_resume")
            return stop.exit_code
        if self.placement.rank == 0:
            save_weights(self.model, self.folder.models, "latest")
        return 0

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

    def _batches(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
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
                    self.save()
                check_readable([self.loader.dataset])
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

    def _agree_to_stop(self, requested: bool) -> bool:
        """Return whether the run stops after this iteration, the same in all processes."""
        mine = requested or self._dead_worker is not None
        if self._group is None:
            return mine
        if self.iteration % _AGREE_EVERY:
            return False
        flag = torch.tensor(int(mine))
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group)
        return bool(flag)

    def report(self) -> None:
        """Print and write the losses since the last report; waits for the device."""
        check_finite(self.model, self.iteration)
        rate = self.model.get_current_learning_rate()[0]
        epoch = self.samples / self.sampler.length
        self.log.training(self.iteration, epoch, rate, self.model.get_current_log())

    def validate(self) -> None:
        """Measure the model on every validation set; save its weights if they are the best so far.

        If that fails, what was trained is saved first, where one process can do it alone.
        """
        check_finite(self.model, self.iteration)
        try:
            with self.log.paused():
                self._validate()
        except Exception:
            if not self.placement.distributed:
                self.save()
            raise
        self.owes_validation = False

    def _validate(self) -> None:
        def show(text: str) -> None:
            self.peers.activity = text
            self.log.progress(text)

        val, iteration = self.options.val, self.iteration
        assert val is not None, "there are validation sets, so there is a section"
        for number, (name, loader) in enumerate(self.validations.items()):
            averages = validate_model(self.model, loader, self.opt, iteration, show)
            records = self.best.setdefault(name, {})
            improved = update_best(records, next(iter(averages.values())), val, iteration)
            self.log.validation(iteration, name, averages, records)
            if number == 0 and improved and self.placement.rank == 0:
                save_weights(self.model, self.folder.models, "best")

    def save(self) -> None:
        """Write the checkpoint of this iteration; all processes must call this."""
        iteration = self.iteration
        if self._saved == iteration:
            return
        check_finite(self.model, iteration)
        self.peers.activity = f"saving iteration {iteration:,}"
        with self.log.paused():
            more = {
                "sampler": self.sampler.state_dict(self.samples),
                "random": gather(random_state()),
                "best": self.best,
                "owes_validation": self.owes_validation,
            }
            if self.placement.rank == 0:
                length, processes = self.sampler.length, self.placement.world_size
                epoch = basicsr_epoch(self.options, length, processes, iteration)
                self.folder.save(self.model, epoch, iteration, more)
        self._saved = iteration
