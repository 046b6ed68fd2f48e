"""The best value of every metric so far and the iteration it was reached at."""

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any


class BestMetrics:
    """Records by dataset and metric, each like ``{"val": 31.2, "iter": 5000}``."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, dict[str, Any]]] = {}

    def update(self, dataset: str, metric: str, value: float, better: str, iteration: int) -> bool:
        """Record ``value`` where it is the best so far, and return whether it is.

        Args:
            dataset: its name.
            metric: its name in ``val: metrics``.
            value: what was measured; NaN is never the best.
            better: ``higher`` or ``lower``.
            iteration: the iteration of the measurement.
        """
        record = self.get(dataset, metric)
        if record is None:
            improved = not math.isnan(value)
        else:
            improved = value > record["val"] if better == "higher" else value < record["val"]
        if improved:
            self.records.setdefault(dataset, {})[metric] = {"val": value, "iter": iteration}
        return improved

    def get(self, dataset: str, metric: str) -> dict[str, Any] | None:
        """Return the record of a metric, None before its first value."""
        return self.records.get(dataset, {}).get(metric)

    def state_dict(self) -> dict[str, Any]:
        """Return all records."""
        return deepcopy(self.records)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace all records by those that :meth:`state_dict` returned."""
        self.records = deepcopy(dict(state))
