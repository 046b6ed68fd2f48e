"""curves.png: loss, learning rate and the first metric of a run, from its metrics.jsonl."""

from pathlib import Path
from typing import Any

from lrfdn_arch.files import replacing
from lrfdn_arch.training.log.writers import read_lines


def draw_curves(metrics: Path, png: Path, title: str) -> bool:
    """Plot the contents of ``metrics`` (a metrics.jsonl) into ``png``.

    Returns:
        Whether there was anything to plot.
    """
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
    for label, (xs, ys) in _metric_curves(lines).items():
        metric.plot(xs, ys, marker=".", label=label)
    if metric.lines:
        metric.legend()
    metric.set(ylabel="validation", xlabel="iteration")
    figure.suptitle(title)
    with replacing(png) as temporary:
        figure.savefig(str(temporary), dpi=110)
    return True


def _metric_curves(lines: list[dict[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
    """Return iterations and values of the first metric, by dataset and kind of weights."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for line in lines:
        if line["kind"] == "validation" and line["metrics"]:
            name, value = next(iter(line["metrics"].items()))
            xs, ys = found.setdefault(f"{name} {line['dataset']} {line['weights']}", ([], []))
            xs.append(line["iter"])
            ys.append(value)
    return found
