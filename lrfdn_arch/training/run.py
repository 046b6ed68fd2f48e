"""From checked options to a finished run: every check first, then the parts, then the files."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrfdn_arch.data.sampler import EndlessSampler, SampleKey
from lrfdn_arch.device import compiler_errors, deterministic_algorithms, memory_errors
from lrfdn_arch.evaluation.measure import validation_loader
from lrfdn_arch.locks import locked
from lrfdn_arch.options import Placement, TrainOptions, check_files, stage_options, to_basicsr
from lrfdn_arch.training import checks, metric_writers, summary
from lrfdn_arch.training.checkpoint import RunFolder, load_state, restore_model
from lrfdn_arch.training.distributed import Launcher, check_equal, from_first, gather, joined
from lrfdn_arch.training.loader import global_batch, training_loader
from lrfdn_arch.training.peers import Peers
from lrfdn_arch.training.random_state import restore_random_state, seed_everything
from lrfdn_arch.training.run_logger import RunLogger, duration, log_to_file, stop_logging
from lrfdn_arch.training.stop_signal import StopSignal
from lrfdn_arch.training.trainer import Trainer


def run_training(
    options: TrainOptions, *, launcher: Launcher, root: Path, auto_resume: bool
) -> int:
    """Train as ``options`` specify, one stage after the other.

    With ``auto_resume`` complete stages are left as they are, and the first that is not resumes
    from its newest checkpoint, if there is one. ``root`` gets ``experiments/`` and ``tb_logger/``.

    Returns:
        0 when the run is complete, 130 or 143 when it was asked to stop and saved.
    """
    stages = stage_options(options)
    with StopSignal() as stop, joined(launcher, options, auto_resume) as (placement, peers):
        for stage in stages:
            began, stop.deferred = time.monotonic(), False
            with ExitStack() as stack:
                if placement.rank == 0:
                    advice = "choose another name: --force_yml name=OTHER"
                    stack.enter_context(locked(root / "experiments" / stage.name, advice))
                stack.callback(stop_logging)
                stack.enter_context(_device_errors(stage))
                stack.enter_context(deterministic_algorithms(stage.deterministic))
                trainer = build_trainer(stage, placement, root, auto_resume, peers)
                stack.callback(trainer.log.close)
                code = trainer.train(stop)
                if code == 0 and placement.rank == 0:
                    _conclude(trainer, time.monotonic() - began)
            if stop.requested and stage is not stages[-1]:
                code = stop.exit_code
            # A next stage begins when process 0 has written the weights it starts from.
            if code := max(gather(code)):
                return code
        return 0


@contextmanager
def _device_errors(options: TrainOptions) -> Iterator[None]:
    """Raise ValueError with advice where memory runs out, or a compiler is missing."""
    try:
        with memory_errors(), compiler_errors("set --force_yml use_compile=false"):
            yield
    except MemoryError as error:
        train_set, smaller_parts = options.train_set, ""
        size = train_set.batch_size_per_gpu or 1
        if size > 1:
            smaller = next(n for n in range(size // 2, 0, -1) if size % n == 0)
            parts = train_set.accum_iter * size // smaller
            smaller_parts = (
                f"For the same result with 1/{size // smaller} of the memory: --force_yml "
                f"datasets:train:batch_size_per_gpu={smaller} datasets:train:accum_iter={parts}. "
                "Also, "
            )
        raise ValueError(
            f"memory ran out: {error}. {smaller_parts}use_amp=true and amp_bf16=true (after "
            "--force_yml) save memory, and so does a smaller datasets:train:gt_size"
        ) from error


def _conclude(trainer: Trainer, seconds: float) -> None:
    """Draw the curves, and print where the results are and how to test them."""
    options, folder, note = trainer.options, trainer.folder, trainer.log.note
    note(f"{options.train.total_iter:,} iterations complete, {duration(seconds)} in this run")
    curves, file = folder.path / "curves.png", folder.path / "test.yml"
    if metric_writers.draw_curves(folder.path / "metrics.jsonl", curves, options.name):
        note(f"curves   {curves}")
    best, latest = (folder.models / f"net_g_{label}.pth" for label in ("best", "latest"))
    weights = best if trainer.best and best.is_file() else latest
    note(f"weights  {weights}")
    if summary.write_test_file(options, weights, file):
        note(f"test it  lrfdn test -opt {file}")
    else:
        note("test it  lrfdn test -opt FILE --force_yml path:pretrain_network_g=WEIGHTS")


def build_trainer(
    options: TrainOptions, placement: Placement, root: Path, auto_resume: bool, peers: Peers
) -> Trainer:
    """Build the run of ``options``, resumed where it is asked to; see :func:`run_training`.

    Nothing is written before everything is built and checked.
    """
    checks.check_device(options, placement)
    opt = to_basicsr(options, root=root, placement=placement, auto_resume=auto_resume)
    folder = RunFolder(opt)
    path, notes = from_first(folder.state_to_resume)
    check_files(opt, ignore=("pretrain_network_g",) if path else ())  # the state has its weights
    train_set, validations = _datasets(options, opt, placement)
    checks.check_dataset(train_set, options, placement)
    state = load_state(path) if path else {}
    start = state.get("iter", 0)
    check_equal(gather({"iteration": start, "images": len(train_set)}))
    if path:
        checks.check_length(state, path, options)
    sampler = EndlessSampler(
        len(train_set),
        seed=options.manual_seed,
        rank=placement.rank,
        world_size=placement.world_size,
    )
    if path:  # BasicSR's states have no position
        samples = start * global_batch(options, placement)
        sampler.load_state_dict(state.get("sampler") or sampler.state_dict(samples))
    loader = training_loader(train_set, sampler, options, placement)
    sample = loader.dataset[SampleKey(0, 0)]
    getattr(loader.dataset, "close", lambda: None)()  # workers must open their own files
    checks.check_shared_memory(sample, loader)
    model = _model(opt, state, path, sample)
    notes += from_first(lambda: folder.prepare(path))
    log = _logger(options, opt, folder, start)
    for text in (*notes, summary.start_summary(options, placement, model, train_set, start)):
        log.note(text)
    trainer = Trainer(
        options, opt, placement, model, loader, validations, folder, log, peers, state
    )
    # With another number of processes than before no saved state fits.
    saved = state.get("random", [])
    if len(saved) == placement.world_size:
        restore_random_state(saved[placement.rank])
    else:
        seed_everything(options.manual_seed, placement.rank, start)
    if opt["num_gpu"] and not options.deterministic:
        # Set here, since the checks above run sizes that training does not.
        torch.backends.cudnn.benchmark = True
    return trainer


def _datasets(
    options: TrainOptions, opt: dict[str, Any], placement: Placement
) -> tuple[Any, dict[str, DataLoader]]:
    """Return the training set, and a loader of this process's part of each validation set."""
    from basicsr.data import build_dataset

    datasets, validations = {}, {}
    for phase, dataset_opt in opt["datasets"].items():
        try:
            datasets[phase] = build_dataset(dataset_opt)
        except (AssertionError, KeyError) as error:  # raised by BasicSR's own datasets
            raise ValueError(f"datasets:{phase} cannot be opened: {error}") from error
    checks.check_readable(datasets.values())
    for phase, dataset in datasets.items() if opt.get("val") else ():
        if phase != "train":
            checks.check_validation_set(phase, dataset, options)
            validations[opt["datasets"][phase]["name"]] = validation_loader(
                dataset, rank=placement.rank, world_size=placement.world_size
            )
    return datasets["train"], validations


def _model(
    opt: dict[str, Any], state: dict[str, Any], path: Path | None, sample: Mapping[str, Any]
) -> Any:
    """Build the model, with the weights of ``state``, which was read from ``path``, if any."""
    from basicsr.models import build_model

    seed_everything(opt["manual_seed"])
    if path is not None:  # the state has the weights
        opt = {**opt, "path": {**opt["path"], "pretrain_network_g": None}}
    try:
        model = build_model(opt)
    except NotImplementedError as error:
        raise ValueError(f"{opt['model_type']}: {error}") from error
    network, name = model.get_bare_model(model.net_g), opt["network_g"]["type"]
    checks.check_patch(network, sample, name)
    if path is not None:
        restore_model(model, state, path)
    checks.check_start(network, name)
    return model


def _logger(options: TrainOptions, opt: dict[str, Any], folder: RunFolder, start: int) -> RunLogger:
    """Open the log file and the metric writers, in the first process."""
    active, logger = opt["rank"] == 0, options.logger
    stamp = time.strftime("%Y%m%d_%H%M%S")
    log_to_file(folder.path / f"train_{options.name}_{stamp}.log", active)
    writers = []
    if active:
        summary.write_options(options, folder.path / "options.yml")
        writers.append(metric_writers.json_lines(folder.path / "metrics.jsonl", start))
        if logger.use_tb_logger:
            writers.append(metric_writers.tensorboard(folder.tensorboard, start))
        if logger.wandb is not None and logger.wandb.project:
            writers.append(metric_writers.weights_and_biases(opt))
    return RunLogger(start, options.train.total_iter, writers, active)
