"""Command-line arguments shared by several commands."""

import argparse
from pathlib import Path
from typing import Any


def add_models(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``--model`` (any number of times), ``--weights-key`` and ``--device``."""
    parser.add_argument(
        "--model",
        action="append",
        default=None if required else [],
        required=required,
        metavar="LABEL=FILE",
        help="a weights file (.pth, .safetensors, or net_g_*.pth of a training run) and its label; "
        "the network and its scale are detected from the file",
    )
    add_network(parser)
    add_weights_key(parser)
    add_device(parser)


def add_weights_key(parser: argparse.ArgumentParser) -> None:
    """Add ``--weights-key``."""
    parser.add_argument(
        "--weights-key",
        "--key",
        choices=("params_ema", "params"),
        help="which weights of a training checkpoint to use (default: params_ema, the moving "
        "average, if the file has one)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU, else the CPU)")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add ``--network`` and ``--import``, for networks outside this package."""
    parser.add_argument(
        "--network",
        metavar="FILE_OR_YAML",
        help="the network of a weights file that does not contain it: an option file, or e.g. "
        "'{type: EDSR, num_feat: 64, ...}' with a type of BasicSR's registry",
    )
    add_import(parser)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add ``--import``."""
    parser.add_argument(
        "--import",
        dest="imports",
        nargs="+",
        default=[],
        metavar="FILE_OR_MODULE",
        help="Python files or modules that register networks; their code is executed",
    )


def network_of(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Import the ``--import`` modules and return ``--network`` as a ``network_g`` section.

    Raises:
        ValueError: ``--network`` is neither an option file with a network nor a section.
    """
    from lrfdn_arch.extensions import import_extensions

    import_extensions(arguments.imports)
    text = arguments.network
    if text is None:
        return None
    from lrfdn_arch.options.yaml_file import read_value, read_yaml

    if Path(text).suffix in (".yml", ".yaml"):
        options = read_yaml(Path(text))[0]
        import_extensions(options.get("imports") or [], Path(text).parent)
        section = options.get("network_g")
    else:
        section = read_value(text)
    if not isinstance(section, dict) or not isinstance(section.get("type"), str):
        raise ValueError(
            f"--network {text}: expected an option file with network_g, or its section as YAML, "
            "e.g. '{type: EDSR, num_in_ch: 3, num_out_ch: 3}'"
        )
    return section


def add_out(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--out`` and ``--overwrite``."""
    parser.add_argument("--out", type=Path, required=True, help=help)
    parser.add_argument(
        "--overwrite", action="store_true", help="overwrite the output of an earlier run"
    )


def add_protocol(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--protocol``; ``default`` says in words what holds without it."""
    parser.add_argument(
        "--protocol",
        type=int,
        choices=(2023, 2024, 2025, 2026),
        help="the challenge's year: its image sets, FLOP counter, gates, score and baseline "
        f"(default: {default})",
    )


def add_images(parser: argparse.ArgumentParser, *, with_hr: bool = True) -> None:
    """Add ``--data``, ``--lr``, ``--hr`` if ground truth is of use, and ``--set``."""
    images = parser.add_argument_group("images: the kits' layout, or any folders or LMDBs")
    images.add_argument(
        "--data", type=Path, help="folder with SET_LR and SET_HR, e.g. DIV2K_valid_LR"
    )
    images.add_argument("--lr", type=Path, help="folder or LMDB of LR images")
    if with_hr:
        images.add_argument(
            "--hr", type=Path, help="folder or LMDB of ground truth, needed for PSNR"
        )
    images.add_argument(
        "--set",
        help="name of the set (default with --data: the validation set of the protocol's year, and "
        "its test set if --protocol is given)",
    )


def image_sets_of(arguments: argparse.Namespace, year: Any) -> list[Any]:
    """Return the image set, or the year's two if ``--protocol`` and ``--data`` are given.

    Raises:
        ValueError: not exactly one of ``--data`` and ``--lr`` is given.
    """
    from lrfdn_arch.evaluation.image_set import kit_folders, open_image_set

    hr = getattr(arguments, "hr", None)
    if (arguments.data is None) == (arguments.lr is None):
        raise ValueError("specify the images with either --data FOLDER or --lr FOLDER")
    if arguments.data is None:
        return [open_image_set(arguments.lr, hr, arguments.set)]
    if hr is not None:
        raise ValueError("--hr requires --lr; with --data the HR folder is found by name")
    names = [arguments.set] if arguments.set else list(year.sets.values())
    if not arguments.protocol or not all((arguments.data / f"{n}_LR").is_dir() for n in names):
        names = names[:1]  # the test set is rarely public
    return [open_image_set(*kit_folders(arguments.data, name), name) for name in names]


def add_kits(parser: argparse.ArgumentParser) -> None:
    """Add ``--kit`` (any number of times, each with its teams) and the bounds on its networks."""
    kits = parser.add_argument_group("networks of the organisers' kits")
    kits.add_argument(
        "--kit",
        type=Path,
        action=_Kit,
        default=[],
        help="clone of a kit; each of its networks runs in a separate process, on the CPU as well",
    )
    kits.add_argument(
        "--team",
        type=int,
        nargs="+",
        action=_Teams,
        metavar="N",
        help="teams of the preceding --kit",
    )
    kits.add_argument(
        "--all", nargs=0, action=_Teams, help="all teams of the preceding --kit (default)"
    )
    kits.add_argument(
        "--trust-kit",
        action="store_true",
        help="run the code in the kits, which is not ours; on Linux it can neither write outside a "
        "temporary folder nor use the network, but it can read your files",
    )
    kits.add_argument(
        "--kit-seconds", type=float, default=600, metavar="N", help="time limit for each response"
    )
    kits.add_argument(
        "--kit-memory", type=float, default=16, metavar="GIB", help="memory limit for each network"
    )


def kits_of(arguments: argparse.Namespace) -> tuple[list[tuple[Path, list[int]]], Any]:
    """Return the kits with their teams, and the limits of their processes.

    Raises:
        ValueError: the user has not allowed to run their code.
    """
    from lrfdn_arch.evaluation.kits.client import Limits, teams_of

    if arguments.kit and not arguments.trust_kit:
        raise ValueError(
            f"--kit {arguments.kit[0][0]} runs code that is not ours: read the kit, then repeat "
            "the command with --trust-kit"
        )
    chosen = []
    for kit, teams in arguments.kit:
        known = teams_of(kit)
        if missing := [str(team) for team in teams if team not in known]:
            raise ValueError(f"--team {' '.join(missing)}: {kit} has {', '.join(map(str, known))}")
        chosen.append((kit, teams or known))
    return chosen, Limits(arguments.kit_seconds, int(arguments.kit_memory * 1024**3))


class _Kit(argparse.Action):
    """Append a kit without teams."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        namespace.kit = [*namespace.kit, (values, [])]


class _Teams(argparse.Action):
    """Set the teams of the last kit; none stand for all."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if not namespace.kit:
            parser.error(f"{option} belongs after the --kit that it is about")
        namespace.kit = [*namespace.kit[:-1], (namespace.kit[-1][0], values or [])]


def add_option_file(parser: argparse.ArgumentParser, example: str) -> None:
    """Add BasicSR's ``-opt`` and ``--force_yml``."""
    parser.add_argument(
        "-opt",
        required=True,
        metavar="FILE",
        help="option file, or a name that `lrfdn recipes` lists",
    )
    parser.add_argument(
        "--force_yml",
        nargs="+",
        default=[],
        metavar="KEY:KEY=VALUE",
        help=f"set options, e.g. {example}",
    )
