"""A test's results as text to read and as a file to keep."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from lrfdn_arch.evaluation.measure import ValidationResult


def results_table(result: ValidationResult) -> str:
    """Return a Markdown table: a row per image by name, the average last, four decimals."""
    metrics = list(result.averages)
    images = sorted(result.images, key=lambda image: image.name)
    rows = [[image.name, *image.metrics.values()] for image in images]
    rows.append(["average", *result.averages.values()])
    return tabulate(rows, headers=["image", *metrics], tablefmt="github", floatfmt=".4f")


def write_metrics(
    path: Path, opt: Mapping[str, Any], results: Mapping[str, ValidationResult]
) -> None:
    """Write ``results`` by dataset, with the network, weights and metric settings behind them."""
    content = {
        "name": opt["name"],
        "scale": opt["scale"],
        "network_g": opt["network_g"],
        "weights": opt["path"].get("pretrain_network_g"),
        "param_key": opt["path"].get("param_key_g"),
        "metrics": (opt.get("val") or {}).get("metrics"),
        "datasets": {
            name: {
                "images": {image.name: dict(image.metrics) for image in result.images},
                "average": result.averages,
            }
            for name, result in results.items()
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
