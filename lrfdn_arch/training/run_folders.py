"""The folders of a run: made, or those of an earlier run put aside. Nothing is ever deleted."""

import time
from pathlib import Path
from typing import Any

from lrfdn_arch.options import Placement


def prepare_folders(opt: dict[str, Any], placement: Placement, state: Path | None) -> list[str]:
    """Make the run's folders in the first process; those of an earlier run are put aside.

    With ``--auto_resume`` a run that had not saved yet keeps its folder. Going back to an earlier
    ``state`` puts the later ones aside, or the next ``--auto_resume`` would go on from them.
    """
    if placement.rank != 0:
        return []
    experiment, states = (Path(opt["path"][k]) for k in ("experiments_root", "training_states"))
    notes = []
    going_on = state is not None and state.resolve().parent == states.resolve()
    if state is not None and going_on and not opt["auto_resume"]:
        notes += _put_later_states_aside(states, state)
    if not going_on and (not opt["auto_resume"] or _has_checkpoints(opt)):
        for folder in (experiment, tensorboard_folder(opt)):
            aside = put_aside(folder)
            notes += [f"an earlier run of that name is now {aside}"] if aside else []
    for key in ("models", "training_states"):
        Path(opt["path"][key]).mkdir(parents=True, exist_ok=True)
    return notes


def put_aside(folder: Path) -> Path | None:
    """Rename ``folder``, if it is there, as BasicSR does with earlier runs; return the new name."""
    if not folder.exists():
        return None
    aside = folder.with_name(f"{folder.name}_archived_{time.strftime('%Y%m%d_%H%M%S')}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}_")
    return folder.rename(aside)


def _put_later_states_aside(states: Path, state: Path) -> list[str]:
    after = int(state.stem) if state.stem.isdigit() else 0
    later = [p for p in states.glob("*.state") if p.stem.isdigit() and int(p.stem) > after]
    if not later:
        return []
    aside = states / f"after_{after}_archived_{time.strftime('%Y%m%d_%H%M%S')}"
    aside.mkdir()
    for file in later:
        file.rename(aside / file.name)
    return [f"going back to iteration {after:,}: the states after it are now in {aside}"]


def _has_checkpoints(opt: dict[str, Any]) -> bool:
    folders = (opt["path"]["models"], opt["path"]["training_states"])
    return any(True for folder in folders for _ in Path(folder).glob("*"))


def tensorboard_folder(opt: dict[str, Any]) -> Path:
    """Return where TensorBoard's files of the run go."""
    return Path(opt["root_path"]) / "tb_logger" / opt["name"]
