"""Building a run from its options: every check first, then the parts, then the files."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrfdn_arch.data.sampler import EndlessSampler
from lrfdn_arch.evaluation.measure import validation_loader
from lrfdn_arch.options import Placement, TrainOptions, check_files, to_basicsr
from lrfdn_arch.training import checks
from lrfdn_arch.training.checkpoint import RunFolder, load_state, restore_model
from lrfdn_arch.training.distributed import check_equal, from_first
from lrfdn_arch.training.loader import first_sample, global_batch, training_loader
from lrfdn_arch.training.metric_writers import json_lines, tensorboard, weights_and_biases
from lrfdn_arch.training.peers import Peers
from lrfdn_arch.training.random_state import restore_random_state, seed_everything
from lrfdn_arch.training.run_logger import RunLogger, log_to_file
from lrfdn_arch.training.summary import start_summary, write_options
from lrfdn_arch.training.trainer import Trainer


def build_trainer(
    options: TrainOptions,
    placement: Placement,
    *,
    root: Path,
    auto_resume: bool,
    peers: Peers | None = None,
) -> Trainer:
    """Build the run of ``options``, resumed where it is asked to.

    Nothing is written before everything is built and checked.

    Args:
        options: the checked option file.
        placement: where this process runs.
        root: the folder of ``experiments/`` and ``tb_logger/``.
        auto_resume: resume from the newest intact state.
        peers: the other processes, if there are any.
    """
    checks.check_device(options, placement)
    opt = to_basicsr(options, root=root, placement=placement, auto_resume=auto_resume)
    folder = RunFolder(opt, options.logger.keep_last)
    path, notes = from_first(lambda: _state_to_resume(opt, folder), placement)
    check_files(opt, ignore=("pretrain_network_g",) if path else ())  # the state has its weights
    train_set, validations = _datasets(options, opt, placement)
    checks.check_dataset(train_set, options, placement)
    state = load_state(path) if path else {}
    check_equal({"iteration": state.get("iter", 0), "images": len(train_set)}, placement)
    if path:
        checks.check_length(state, path, options)
    sampler = EndlessSampler(
        len(train_set),
        seed=options.manual_seed,
        rank=placement.rank,
        world_size=placement.world_size,
    )
    if path:  # BasicSR's states have no position
        samples = state["iter"] * global_batch(options, placement)
        sampler.load_state_dict(state.get("sampler") or sampler.state_dict(samples))
    loader = training_loader(train_set, sampler, options, placement)
    sample = first_sample(loader)
    checks.check_shared_memory(sample, loader)
    model = _model(options, opt, state, path, sample)
    notes += from_first(lambda: folder.prepare(path, auto_resume), placement)
    start = state.get("iter", 0)
    trainer = Trainer(
        options=options,
        opt=opt,
        placement=placement,
        model=model,
        sampler=sampler,
        loader=loader,
        validations=validations,
        folder=folder,
        log=_logger(options, opt, folder, placement, start),
        peers=peers or Peers(),
        start=start,
        best=state.get("best", {}),
        owes_validation=state.get("owes_validation", False),
    )
    for text in notes:
        trainer.log.note(text)
    trainer.log.note(start_summary(options, placement, model, train_set, start))
    _restore_random_state(options, placement, state)
    if opt["num_gpu"] and not options.deterministic:
        # Set here, since the checks above run sizes that training does not.
        torch.backends.cudnn.benchmark = True
    return trainer


def _datasets(
    options: TrainOptions, opt: dict[str, Any], placement: Placement
) -> tuple[Any, dict[str, DataLoader]]:
    """Return the training set, and a loader of this process's part of each validation set."""
    from basicsr.data import build_dataset

    train_set, validations = None, {}
    for phase, dataset_opt in opt["datasets"].items():
        try:
            dataset = build_dataset(dataset_opt)
        except (AssertionError, KeyError) as error:  # raised by BasicSR's own datasets
            raise ValueError(f"datasets:{phase} cannot be opened: {error}") from error
        checks.check_readable(dataset)
        if phase == "train":
            train_set = dataset
        elif opt.get("val"):
            checks.check_validation_set(phase, dataset, options)
            validations[dataset_opt["name"]] = validation_loader(
                dataset, rank=placement.rank, world_size=placement.world_size
            )
    assert train_set is not None, "checked with the options"
    return train_set, validations


def _state_to_resume(opt: dict[str, Any], folder: RunFolder) -> tuple[Path | None, list[str]]:
    """Return the state to resume from, and warnings of damaged ones that were skipped."""
    named = Path(opt["path"]["resume_state"]) if opt["path"].get("resume_state") else None
    if not opt["auto_resume"]:
        return named, []
    warnings: list[str] = []
    newest = folder.newest_state(warnings.append)
    if newest is None and named is None:
        warnings.append("there is no checkpoint to resume from: starting a new run")
    return newest or named, [f"warning: {text}" for text in warnings]


def _model(
    options: TrainOptions,
    opt: dict[str, Any],
    state: dict[str, Any],
    path: Path | None,
    sample: Mapping[str, Any],
) -> Any:
    from basicsr.models import build_model

    seed_everything(options.manual_seed)
    if path is not None:  # the state has the weights
        opt = {**opt, "path": {**opt["path"], "pretrain_network_g": None}}
    try:
        model = build_model(opt)
    except NotImplementedError as error:
        raise ValueError(f"{options.model_type}: {error}") from error
    network = model.get_bare_model(model.net_g)
    checks.check_patch(network, sample, options.network_g.type)
    if path is not None:
        restore_model(model, state, path)
    checks.check_start(network, options.network_g.type)
    return model


def _logger(
    options: TrainOptions,
    opt: dict[str, Any],
    folder: RunFolder,
    placement: Placement,
    start: int,
) -> RunLogger:
    """Open the log file and the metric writers, in the first process."""
    active, logger = placement.rank == 0, options.logger
    stamp = time.strftime("%Y%m%d_%H%M%S")
    log_to_file(folder.path / f"train_{options.name}_{stamp}.log", active)
    writers = []
    if active:
        write_options(options, folder.path / "options.yml")
        writers.append(json_lines(folder.path / "metrics.jsonl", start))
        if logger.use_tb_logger:
            writers.append(tensorboard(folder.tensorboard, start))
        if logger.wandb is not None and logger.wandb.project:
            writers.append(weights_and_biases(options.name, logger.wandb.model_dump(), opt))
    return RunLogger(start, options.train.total_iter, writers, active)


def _restore_random_state(
    options: TrainOptions, placement: Placement, state: dict[str, Any]
) -> None:
    """Restore the random generators of this process, or seed them for a new run.

    With another number of processes than before no saved state fits; each process gets a seed that
    depends on its rank and the iteration.
    """
    saved = state.get("random", [])
    if len(saved) == placement.world_size:
        restore_random_state(saved[placement.rank])
    else:
        seed_everything(options.manual_seed, placement.rank, state.get("iter", 0))
