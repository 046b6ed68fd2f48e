"""An entry for the organisers' kit: ``models/teamNN_Name.py`` and ``model_zoo/teamNN_name.pth``."""

import io
from pathlib import Path

import torch

from lrfdn_arch import __version__
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.export.single_file import single_file
from lrfdn_arch.files import write_whole


def write_kit(
    competitor: Competitor, out: Path, team: int, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write network and weights in the kit's layout, and return both files.

    The network maps [0, 1] to [0, 1] (``data_range`` 1.0 in the kit); its file says at the top
    which lines to add to the kit's ``select_model``.

    Args:
        competitor: the network; its label names the files.
        out: the kit's folder, or a new one.
        team: the number that the organisers assigned.
        overwrite: replace existing files.

    Raises:
        FileExistsError: a file exists and ``overwrite`` is off; nothing was written.
        ValueError: the label cannot be part of a Python module's name, or the team number is not
            from 0 to 99.
    """
    label = competitor.label
    if not f"team_{label}".isidentifier():
        raise ValueError(f"{label!r} names a Python file of the kit: use letters, digits and '_'")
    if not 0 <= team <= 99:
        raise ValueError(f"--team {team}: the kit numbers teams from 0 to 99")
    network_file = out / "models" / f"team{team:02}_{label}.py"
    weights_file = out / "model_zoo" / f"team{team:02}_{label.lower()}.pth"
    existing = [str(file) for file in (network_file, weights_file) if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{', '.join(existing)} exists; choose another --out or --overwrite")
    network = competitor.loaded.architecture.network
    source = single_file(network, _docstring(competitor, team, weights_file.name))
    compile(source, network_file.name, "exec")
    for file, data in ((network_file, source.encode()), (weights_file, _weights(competitor))):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, data)
    return network_file, weights_file


def _docstring(competitor: Competitor, team: int, weights_name: str) -> str:
    loaded, label = competitor.loaded, competitor.label
    name, defaults = loaded.architecture.name, loaded.architecture.parameters
    arguments = {
        argument: value
        for argument, value in loaded.arguments.items()
        if defaults[argument].default != value
    }
    call = ", ".join(f"{argument}={value!r}" for argument, value in arguments.items())
    return (
        f"{loaded} for the challenge's kit, written by lrfdn_arch {__version__}.\n\n"
        "SPDX-License-Identifier: Apache-2.0\n\n"
        "In the kit's select_model:\n\n"
        f"    from models.team{team:02}_{label} import {name}\n"
        f'    name, data_range = f"{{model_id:02}}_{label}", 1.0\n'
        f'    model_path = os.path.join("model_zoo", "{weights_name}")\n'
        f"    model = {name}({call})\n"
        "    model.load_state_dict(torch.load(model_path), strict=True)\n"
    )


def _weights(competitor: Competitor) -> bytes:
    state = {name: t.detach().cpu().clone() for name, t in competitor.network.state_dict().items()}
    data = io.BytesIO()
    torch.save(state, data)
    return data.getvalue()
