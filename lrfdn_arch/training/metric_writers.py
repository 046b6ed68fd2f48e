"""The numbers of a run: metrics.jsonl, TensorBoard, Weights & Biases, and the plot curves.png."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrfdn_arch.files import replacing, write_whole, writing


@dataclass(frozen=True)
class MetricWriter:
    """Keeps numbers: of ``train`` or ``validation``, the iteration, and values by name."""

    write: Callable[[str, int, Mapping[str, Any]], None]
    close: Callable[[], None] = lambda: None


def json_lines(path: Path, start: int) -> MetricWriter:
    """Write one JSON object per line; lines after ``start``, where a run resumes, are dropped."""
    kept = [line for line in read_lines(path) if line["iter"] <= start] if start else []
    write_whole(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write(kind: str, iteration: int, values: Mapping[str, Any]) -> None:
        line = json.dumps({"kind": kind, "iter": iteration, **values})
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    return MetricWriter(write)


def tensorboard(folder: Path, start: int) -> MetricWriter:
    """Write TensorBoard event files, with BasicSR's names of curves; later points are dropped.

    Raises:
        ValueError: the package is missing.
    """
    with _package("tensorboard", "logger:use_tb_logger", "logger:use_tb_logger=false"):
        from torch.utils.tensorboard import SummaryWriter
    writer = SummaryWriter(str(folder), purge_step=start + 1 if start else None)

    def write(kind: str, iteration: int, values: Mapping[str, Any]) -> None:
        for name, value in curves(kind, values).items():
            writer.add_scalar(name, value, iteration)

    return MetricWriter(write, writer.close)


def weights_and_biases(opt: Mapping[str, Any]) -> MetricWriter:
    """Report to Weights & Biases what ``logger: wandb`` of BasicSR's dict asks for.

    Raises:
        ValueError: the package is missing.
    """
    with _package("wandb", "logger:wandb:project", "logger:wandb=~"):
        import wandb  # type: ignore[import-not-found]
    section = opt["logger"]["wandb"]
    resume_id = section.get("resume_id")
    run: Any = wandb.init(
        project=section["project"],
        entity=section.get("entity"),
        name=opt["name"],
        id=resume_id,
        resume="allow" if resume_id else None,
        config=dict(opt),
    )
    return MetricWriter(
        lambda kind, iteration, values: run.log(curves(kind, values), step=iteration), run.finish
    )


@contextlib.contextmanager
def _package(name: str, option: str, without: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ValueError(
            f"{option} needs the package {name}: pip install {name}, or --force_yml {without}"
        ) from error


def curves(kind: str, values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers in ``values`` under BasicSR's names of curves."""
    if kind == "validation":
        ending = "_raw" if values["weights"] == "raw" and values.get("also_ema") else ""
        prefix = f"metrics/{values['dataset']}/"
        return {f"{prefix}{name}{ending}": value for name, value in values["metrics"].items()}
    return {
        f"losses/{name}" if name.startswith("l_") else name: value
        for name, value in values.items()
        if isinstance(value, int | float)
    }


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl up to the first one that is incomplete."""
    if not path.is_file():
        return []
    lines = []
    with contextlib.suppress(json.JSONDecodeError):
        for line in path.read_text(encoding="utf-8").splitlines():
            lines.append(json.loads(line))
    return lines


def draw_curves(metrics: Path, png: Path, title: str) -> bool:
    """Plot ``metrics`` (a metrics.jsonl) into ``png``; return False if there is nothing to plot."""
    lines = read_lines(metrics)
    training = [line for line in lines if line["kind"] == "train"]
    if not training:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # needs no display
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 9), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, metric = figure.subplots(3, 1, sharex=True)
    iterations = [line["iter"] for line in training]
    for name in (key for key in training[0] if key.startswith("l_")):
        loss.plot(iterations, [line.get(name) for line in training], label=name)
    loss.set(yscale="log", ylabel="loss")
    loss.legend()
    rate.plot(iterations, [line["lr"] for line in training])
    rate.set(ylabel="learning rate")
    found: dict[str, list[tuple[int, float]]] = {}  # the first metric
    for line in lines:
        if line["kind"] == "validation" and line["metrics"]:
            name, value = next(iter(line["metrics"].items()))
            label = f"{name} {line['dataset']} {line['weights']}"
            found.setdefault(label, []).append((line["iter"], value))
    for label, points in found.items():
        metric.plot(*zip(*points, strict=True), marker=".", label=label)
    if found:
        metric.legend()
    metric.set(ylabel="validation", xlabel="iteration")
    figure.suptitle(title)
    with replacing(png) as temporary:
        figure.savefig(str(temporary), dpi=110)
    return True
