"""A training run put together: model, data, records, and what happens between iterations."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrfdn_arch.data.sampler import EndlessSampler
from lrfdn_arch.options import Placement, TrainOptions
from lrfdn_arch.training.checkpoints.best import BestMetrics
from lrfdn_arch.training.checkpoints.rotation import Keeper
from lrfdn_arch.training.distributed import Agreement, gather
from lrfdn_arch.training.finite import check_logged
from lrfdn_arch.training.loader import basicsr_epoch, batches_on_device, global_batch
from lrfdn_arch.training.log.run_log import RunLog
from lrfdn_arch.training.random_state import random_state
from lrfdn_arch.training.schedule import Cadence
from lrfdn_arch.training.stopping import StopRequest
from lrfdn_arch.training.validation import validate_model


@dataclass
class Session:
    """Everything a run consists of.

    Args:
        options: the checked option file.
        opt: the same as BasicSR's dict.
        placement: where this process runs.
        model: any model of BasicSR's MODEL_REGISTRY, ready to train.
        sampler: the order of samples, at the position where the run goes on.
        loader: yields this process's batches in that order.
        validations: a loader for each validation set, by its name.
        keeper: writes checkpoints.
        log: the screen and the files of numbers.
        start: the iteration the run goes on after; 0 for a new one.
        best: the best metrics so far.
        owes_validation: the run was stopped before a validation that was due at ``start``.
    """

    options: TrainOptions
    opt: Mapping[str, Any]
    placement: Placement
    model: Any
    sampler: EndlessSampler
    loader: DataLoader
    validations: Mapping[str, DataLoader]
    keeper: Keeper
    log: RunLog
    start: int = 0
    best: BestMetrics = field(default_factory=BestMetrics)
    owes_validation: bool = False

    def __post_init__(self) -> None:
        self.cadence = Cadence.of(self.options)
        self.agreement = Agreement(self.placement)
        self.iteration = self.saved = self._validated = self.start
        self._samples_at_start = self.sampler.state_dict()["position"]
        self._batch = global_batch(self.options, self.placement)

    @property
    def samples(self) -> int:
        """Samples used so far, by all processes since iteration 1: the sampler's position.

        Not what the sampler has handed out: workers fetch ahead of training.
        """
        return self._samples_at_start + (self.iteration - self.start) * self._batch

    def batches(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the number and the batch of every iteration that is left."""
        if self.start >= self.cadence.total:
            return
        precision = getattr(self.model, "precision", None)
        layout = precision.memory_format if precision else torch.contiguous_format
        self.log.pace.begin(self.start)
        source = iter(batches_on_device(self.loader, self.model.device, layout))
        for iteration in range(self.start + 1, self.cadence.total + 1):
            began = time.perf_counter()
            batch = next(source)
            self.log.waited(time.perf_counter() - began)
            self.iteration = iteration
            yield iteration, batch

    def report(self, iteration: int) -> None:
        """Print and keep the losses since the last report; waits for the device.

        Raises:
            NotFiniteError: one of these iterations was not finite.
        """
        log = self.model.get_current_log()
        if getattr(self.model, "guard", None) is None:
            check_logged(iteration, log)
        rate = self.model.get_current_learning_rate()[0]
        self.log.training(iteration, self.samples / self.sampler.length, rate, log)

    def validate(self, iteration: int) -> None:
        """Measure the model on every validation set; keep it if it is the best so far.

        If that fails, what was trained is saved first, where one process can do it alone.
        """
        self._check_finite(iteration)
        try:
            self._validate(iteration)
        except Exception:
            if not self.placement.distributed:
                self.save(iteration)
            raise
        self._validated = iteration

    def validate_what_is_owed(self) -> None:
        """Make up for the validation that a stop left out, so that the run is as without it."""
        if self.owes_validation:
            self.validate(self.start)

    def _owes_validation(self, iteration: int) -> bool:
        return self.cadence.should_validate(iteration) and self._validated != iteration

    def _validate(self, iteration: int) -> None:
        show = self.log.line.show if self.placement.rank == 0 else _nothing
        with self.log.elsewhere():
            for number, (name, loader) in enumerate(self.validations.items()):
                folder = Path(self.opt["path"]["visualization"]) / "{name}"
                averages = validate_model(
                    self.model, loader, self.options, folder, str(iteration), show
                )
                improved = self._note_best(name, next(iter(averages.values())), iteration)
                self.log.validation(iteration, name, averages, self.best)
                if number == 0 and improved and self.placement.rank == 0:
                    self.keeper.save_best(self.model)

    def _note_best(self, dataset: str, averages: Mapping[str, float], iteration: int) -> bool:
        """Return whether the metric that decides about the best weights improved."""
        metrics = (self.options.val and self.options.val.metrics) or {}
        deciding = (self.options.val and self.options.val.best_metric) or next(iter(metrics), None)
        improved = {
            metric: self.best.update(dataset, metric, value, metrics[metric].better, iteration)
            for metric, value in averages.items()
        }
        return improved.get(deciding or "", False)

    def save(self, iteration: int) -> None:
        """Write the checkpoint of ``iteration``; all processes must call this.

        Raises:
            NotFiniteError: an iteration was not finite; nothing was written.
            OSError: it could not be written.
        """
        if self.saved == iteration:
            return
        self._check_finite(iteration)
        with self.log.elsewhere():
            random_states = gather(random_state(), self.placement)
            if self.placement.rank == 0:
                more = {
                    "sampler": self.sampler.state_dict(self.samples),
                    "random": random_states,
                    "best": self.best.state_dict(),
                    "owes_validation": self._owes_validation(iteration),
                }
                length, processes = self.sampler.length, self.placement.world_size
                epoch = basicsr_epoch(self.options, length, processes, iteration)
                self.keeper.save(self.model, epoch, iteration, more)
        self.saved = iteration

    def finish(self, stop: StopRequest) -> int:
        """Say how the run ended and return the exit code."""
        if self.iteration < self.cadence.total:
            self.log.note(
                f"stopped after iteration {self.iteration:,}; --auto_resume goes on there"
            )
            return stop.exit_code
        if self.placement.rank == 0:
            self.keeper.save_latest(self.model)
        return 0

    def _check_finite(self, iteration: int) -> None:
        guard = getattr(self.model, "guard", None)
        if guard is not None:
            guard.raise_if_bad()
        else:
            check_logged(iteration, getattr(self.model, "log_dict", {}))


def _nothing(text: str) -> None:
    """Show nothing: of many processes only the first has a screen."""
