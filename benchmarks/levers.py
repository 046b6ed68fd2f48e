"""What the levers of training are worth: every setting, with several seeds, on the 291 images.

Trains each setting of a group with each seed and reports the PSNR (Y, 4 pixels cut) of the EMA on
the 15 held-out images, and the processor time, which other work on the machine changes little as
every run has one thread. Finished runs are kept in experiments/ and are not repeated, so that
this command resumes; a table and a plot are written from all that are there.

Needs: the LMDBs that options/train/LRFDN/train_LRFDN_x4_291_muon.yml names.
Run:   python benchmarks/levers.py length --iterations 1000 10000 --seeds 0 1
       python benchmarks/levers.py extras --iterations 1000 --seeds 0 1
       python benchmarks/levers.py networks --iterations 1000 --seeds 0 1
"""

import argparse
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from common import machine
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "options/train"
RUNS = Path("experiments")  # of the folder this is started in, as train.py has it

ADAM = {"train.optim_g": {"type": "Adam", "lr": 0.004}, "path.init": None}
MUON = {"path.init": None}  # the recipe's own rates
BILINEAR = {"path.init": "bilinear"}
L1 = {"type": "L1Loss"}

# The keys of an option file, with dots, that each setting changes in the recipe.
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "length": {
        "Adam 4e-3": ADAM,
        "Adam 4e-3, bilinear start": ADAM | BILINEAR,
        "Muon 5e-3": MUON,
        "Muon 5e-3, bilinear start": {},
    },
    "extras": {
        "Muon 5e-3, bilinear start": {},
        "Muon 2.5e-3": {"train.optim_g.lr": 0.0025},
        "weight decay 0.1": {"train.optim_g.weight_decay": 0.1},
        "re-parameterized (rep)": {"train.reparameterize": {"kind": "rep", "layers": ["*"]}},
        "4 patches of 128": {"train.gt_size": 128, "train.batch_size_per_gpu": 4},
        "16 patches of 64": {"train.gt_size": 64, "train.batch_size_per_gpu": 16},
        "16 patches of 96": {"train.batch_size_per_gpu": 16},
        "EMA 0.99": {"train.ema_decay": 0.99},
        "Charbonnier": {"train.pixel_opt": {"type": "CharbonnierLoss", "eps": 1e-6}},
        "MSE": {"train.pixel_opt": {"type": "MSELoss"}},
        "L1 and 0.05 FFT": {
            "train.pixel_opt": None,
            "train.losses": [L1, {"type": "FFTLoss", "loss_weight": 0.05}],
        },
        "float32": {"use_amp": False, "amp_bf16": False},
    },
    "networks": {
        f"{network}, {name}": {"network": network} | changes
        for network, settings in {
            "RFDN": {"Adam 2e-3": ADAM | {"train.optim_g.lr": 0.002}, "Muon, bilinear start": {}},
            "RLFN": {"Adam 4e-3": ADAM, "Muon, bilinear start": {}},
            "EFDN": {"Adam 4e-3": ADAM, "Muon, bilinear start": {}},
            "SPAN": {"Adam 4e-3": ADAM, "Muon": MUON},
        }.items()
        for name, changes in settings.items()
    },
}
DATA_KEYS = ("gt_size", "batch_size_per_gpu")


class Result(NamedTuple):
    """One finished run: PSNR on the held-out images and processor time in seconds."""

    group: str
    setting: str
    iterations: int
    seed: int
    psnr_y: float
    psnr_rgb: float
    seconds: float


def main() -> None:
    """Train what is missing, then print a table and write a plot of all results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("group", choices=[*GROUPS, "report"])
    parser.add_argument("--iterations", type=int, nargs="+", default=[1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", help="names of settings, instead of all")
    parser.add_argument("--plot", type=Path, default=RUNS / "levers.png")
    arguments = parser.parse_args()
    for iterations in arguments.iterations:
        for seed in arguments.seeds:  # the seed outside, so that an early end leaves whole rows
            for setting in GROUPS.get(arguments.group, {}):
                if not arguments.only or setting in arguments.only:
                    run(arguments.group, setting, iterations, seed)
    results = finished()
    print(f"\n{machine()}\n")
    for group in GROUPS:
        print(report([x for x in results if x.group == group]), end="\n\n")
    plot([x for x in results if x.group == "length"], arguments.plot)


def run(group: str, setting: str, iterations: int, seed: int) -> None:
    """Train one setting, or resume it, unless it is finished."""
    kept = "".join(letter if letter.isalnum() else "_" for letter in setting)
    name = f"levers_{group}_{kept}_{iterations}_{seed}"
    target = RUNS / f"{name}.json"
    if target.exists():
        return
    print(f"{setting}, {iterations:,} iterations, seed {seed}", flush=True)
    file = RUNS / f"{name}.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(options(GROUPS[group][setting], name, iterations, seed)))
    command = [sys.executable, str(ROOT / "train.py"), "-opt", str(file), "--auto_resume"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    metrics = last_metrics(RUNS / name / "metrics.jsonl")
    result = Result(
        group, setting, iterations, seed, metrics["psnr_y"], metrics["psnr_rgb"], seconds
    )
    target.write_text(json.dumps(result._asdict()))


def options(changes: dict[str, Any], name: str, iterations: int, seed: int) -> dict[str, Any]:
    """Return the recipe's first stage with ``changes``, validated once, at its end."""
    opt = _read("LRFDN/train_LRFDN_x4_291_muon.yml")
    del opt["stages"]
    changes = copy.deepcopy(changes)
    network = changes.pop("network", None)
    if network:
        opt["network_g"] = _read(f"{network}/train_{network}_x4_DF2K.yml")["network_g"]
        opt["network_g"]["img_range"] = 255.0
    for key, value in changes.items():
        section: dict[str, Any] = opt
        *parents, last = key.split(".")
        if last in DATA_KEYS:
            parents = ["datasets", "train"]
        for parent in parents:
            section = section[parent]
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    opt["name"], opt["manual_seed"] = name, seed
    opt["train"]["total_iter"] = iterations
    opt["val"]["val_freq"] = iterations
    opt["logger"] |= {"save_checkpoint_freq": 2000, "keep_last": 1, "print_freq": 200}
    return opt


def _read(recipe: str) -> dict[str, Any]:
    return yaml.safe_load((RECIPES / recipe).read_text())


def last_metrics(file: Path) -> dict[str, float]:
    """Return the metrics of the EMA's last validation."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    found = [x for x in lines if x["kind"] == "validation" and x["weights"] == "ema"]
    return found[-1]["metrics"]


def finished() -> list[Result]:
    """Return the results of all finished runs."""
    return [Result(**json.loads(file.read_text())) for file in sorted(RUNS.glob("levers_*_*.json"))]


def report(results: Sequence[Result]) -> str:
    """Return a table: a row for each setting and length, every seed's PSNR, gain and time.

    The gain is over the first setting of the group at the same length, or of the same network.
    """
    rows = []
    settings = list(GROUPS[results[0].group]) if results else []
    for iterations in sorted({x.iterations for x in results}):
        means: dict[str, float] = {}
        for setting in settings:
            runs = [x for x in results if (x.setting, x.iterations) == (setting, iterations)]
            if not runs:
                continue
            mean = means[setting] = statistics.mean(x.psnr_y for x in runs)
            base = next(x for x in means if _comparable(runs[0].group, x, setting))
            rows.append(
                [
                    f"{iterations:,}",
                    setting,
                    ", ".join(f"{x.psnr_y:.2f}" for x in runs),
                    f"{mean:.2f}",
                    f"{mean - means[base]:+.2f}" if base != setting else "",
                    f"{statistics.mean(x.seconds for x in runs):.0f} s",
                ]
            )
    headers = ["iterations", "setting", "seeds", "mean", "gain", "processor time"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _comparable(group: str, first: str, second: str) -> bool:
    return group != "networks" or first.split(",")[0] == second.split(",")[0]


def plot(results: Iterable[Result], file: Path) -> None:
    """Plot PSNR over processor time: a line of means for each setting, a point for each seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    results = list(results)
    for number, setting in enumerate(GROUPS["length"]):
        runs = [x for x in results if x.setting == setting]
        if not runs:
            continue
        lengths = sorted({x.iterations for x in runs})
        seconds, means = (
            [statistics.mean(getattr(x, what) for x in runs if x.iterations == n) for n in lengths]
            for what in ("seconds", "psnr_y")
        )
        axes.plot(seconds, means, color=f"C{number}", label=setting)
        axes.plot([x.seconds for x in runs], [x.psnr_y for x in runs], f"C{number}.", alpha=0.6)
    axes.set(xscale="log", xlabel="processor time (s)", ylabel="PSNR on Y, held out (dB)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    main()
