"""Putting a run together, or back together: every check first, then the parts, then the records."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrfdn_arch.data.sampler import EndlessSampler
from lrfdn_arch.evaluation.measure import validation_loader
from lrfdn_arch.options import Placement, TrainOptions, to_basicsr
from lrfdn_arch.training import checks as preflight
from lrfdn_arch.training.checkpoints.best import BestMetrics
from lrfdn_arch.training.checkpoints.checkpoint import load_state, newest_whole_state, restore_model
from lrfdn_arch.training.checkpoints.rotation import Keeper
from lrfdn_arch.training.distributed import from_first
from lrfdn_arch.training.loader import (
    first_sample,
    global_batch,
    training_loader,
    training_sampler,
)
from lrfdn_arch.training.log.run_log import RunLog, log_to_file
from lrfdn_arch.training.log.sinks import JsonLines, Sink, TensorBoard, WeightsAndBiases
from lrfdn_arch.training.log.summary import start_summary, write_options
from lrfdn_arch.training.random_state import restore_random_state, seed_everything
from lrfdn_arch.training.run_folders import prepare_folders, tensorboard_folder
from lrfdn_arch.training.session import Session


def assemble(
    options: TrainOptions, placement: Placement, *, root: Path, file: str, auto_resume: bool
) -> Session:
    """Build the run of ``options``, going on where it was if asked to.

    Nothing is written before everything is built and checked.

    Args:
        options: the checked option file.
        placement: where this process runs.
        root: the folder of ``experiments/`` and ``tb_logger/``.
        file: the option file's name, for messages.
        auto_resume: go on at the newest whole state.

    Raises:
        ValueError, OSError: something about options, data or checkpoint is wrong, in words.
    """
    preflight.check_workers(options)
    preflight.check_device(options, placement)
    opt = to_basicsr(options, root=root, placement=placement, auto_resume=auto_resume)
    path, warnings = from_first(_state_to_resume(opt), placement)
    preflight.check_data_is_there(opt, resuming=path is not None)
    train_set, validations = _datasets(options, opt, placement)
    preflight.check_dataset(train_set, options, placement)
    state = load_state(path) if path else {}
    if path:
        preflight.check_resume(state, path, options)
    sampler = training_sampler(train_set, options, placement)
    if path:
        sampler.load_state_dict(_sampler_state(state, sampler, options, placement))
    loader = training_loader(train_set, sampler, options, placement)
    model = _model(options, opt, state, path, first_sample(loader))
    archived = from_first(prepare_folders(opt, placement, path), placement)
    session = Session(
        options=options,
        opt=opt,
        placement=placement,
        model=model,
        sampler=sampler,
        loader=loader,
        validations=validations,
        keeper=_keeper(options, opt, placement),
        log=_log(options, opt, placement, start=state.get("iter", 0)),
        start=state.get("iter", 0),
        best=_best(state),
        owes_validation=state.get("owes_validation", False),
    )
    for text in (*warnings, *archived):
        session.log.note(text)
    session.log.note(start_summary(options, placement, model, train_set, session.start))
    _seed(options, placement, state)
    return session


def _datasets(
    options: TrainOptions, opt: dict[str, Any], placement: Placement
) -> tuple[Any, dict[str, DataLoader]]:
    """Return the training set, and a loader of this process's part of each validation set."""
    from basicsr.data import build_dataset

    train_set, validations = None, {}
    for phase, dataset_opt in opt["datasets"].items():
        try:
            dataset = build_dataset(dataset_opt)
        except (AssertionError, KeyError) as error:  # how BasicSR's own datasets complain
            raise ValueError(f"datasets:{phase} cannot be opened: {error}") from error
        if phase == "train":
            train_set = dataset
        elif opt.get("val"):
            preflight.check_validation_set(phase, dataset, options)
            validations[dataset_opt["name"]] = validation_loader(
                dataset, rank=placement.rank, world_size=placement.world_size
            )
    assert train_set is not None, "checked with the options"
    return train_set, validations


def _state_to_resume(opt: dict[str, Any]) -> tuple[Path | None, list[str]]:
    """Return the state to go on from, and warnings about damaged ones that were passed over."""
    named = opt["path"].get("resume_state")
    if not opt["auto_resume"]:
        return (Path(named) if named else None), []
    warnings: list[str] = []
    newest = newest_whole_state(Path(opt["path"]["training_states"]), warnings.append)
    if newest is None:
        newest = Path(named) if named else None
        warnings.append("no checkpoint to go on from, so this is a new run" if not named else "")
    return newest, [f"warning: {text}" for text in warnings if text]


def _sampler_state(
    state: dict[str, Any], sampler: EndlessSampler, options: TrainOptions, placement: Placement
) -> dict[str, int]:
    """Return where in the order of samples the state was saved; BasicSR's states do not say."""
    if "sampler" in state:
        return state["sampler"]
    return sampler.state_dict(state["iter"] * global_batch(options, placement))


def _model(
    options: TrainOptions,
    opt: dict[str, Any],
    state: dict[str, Any],
    path: Path | None,
    sample: Mapping[str, Any],
) -> Any:
    from basicsr.models import build_model

    if opt["num_gpu"]:
        torch.backends.cudnn.benchmark = True
    seed_everything(options.manual_seed)
    if path is not None:  # the state has the weights
        opt = {**opt, "path": {**opt["path"], "pretrain_network_g": None}}
    try:
        model = build_model(opt)
    except NotImplementedError as error:
        raise ValueError(f"{options.model_type}: {error}") from error
    preflight.check_patch(model.get_bare_model(model.net_g), sample, options.network_g.type)
    if path is not None:
        restore_model(model, state, path)
    return model


def _keeper(options: TrainOptions, opt: dict[str, Any], placement: Placement) -> Keeper:
    paths = opt["path"]
    keeper = Keeper(Path(paths["models"]), Path(paths["training_states"]), options.logger.keep_last)
    if placement.rank == 0:
        keeper.tidy()
    return keeper


def _log(options: TrainOptions, opt: dict[str, Any], placement: Placement, start: int) -> RunLog:
    """Open the files a run leaves behind, in the first process."""
    folder, total = Path(opt["path"]["experiments_root"]), options.train.total_iter
    active = placement.rank == 0
    stamp = time.strftime("%Y%m%d_%H%M%S")
    log_to_file(folder / f"train_{options.name}_{stamp}.log", active)
    sinks: list[Sink] = []
    if active:
        write_options(options, folder / "options.yml")
        sinks.append(JsonLines(folder / "metrics.jsonl", start))
        if options.logger.use_tb_logger:
            sinks.append(TensorBoard(tensorboard_folder(opt), start))
        if options.logger.wandb is not None and options.logger.wandb.project:
            section = options.logger.wandb.model_dump()
            sinks.append(WeightsAndBiases(options.name, section, opt))
    return RunLog(start, total, sinks, active)


def _best(state: dict[str, Any]) -> BestMetrics:
    best = BestMetrics()
    best.load_state_dict(state.get("best", {}))
    return best


def _seed(options: TrainOptions, placement: Placement, state: dict[str, Any]) -> None:
    """Put the random generators where they were, or where a new run has them.

    With another number of processes than before no old state fits, and each process starts from
    one of its own that depends on the iteration.
    """
    saved = state.get("random", [])
    if len(saved) == placement.world_size:
        restore_random_state(saved[placement.rank])
    else:
        seed_everything(options.manual_seed, placement.rank, state.get("iter", 0))
