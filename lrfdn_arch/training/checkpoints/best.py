"""The best value of every metric so far, and where it was reached."""

from collections.abc import Mapping
from typing import Any


class BestMetrics:
    """Remembers the best value of each metric on each dataset.

    The record of a dataset's metric is ``{"val": 31.2, "iter": 5000}``.
    """

    def __init__(self) -> None:
        self.records: dict[str, dict[str, dict[str, Any]]] = {}

    def update(self, dataset: str, metric: str, value: float, better: str, iteration: int) -> bool:
        """Note ``value`` and return whether it is better than all before.

        Args:
            dataset: its name.
            metric: its name in ``val: metrics``.
            value: what was measured; never better than anything if it is not a number.
            better: ``higher`` or ``lower``.
            iteration: when.
        """
        record = self.records.setdefault(dataset, {}).get(metric)
        if record is not None:
            ahead = value - record["val"]
            if not (ahead > 0 if better == "higher" else ahead < 0):
                return False
        elif value != value:
            return False
        self.records[dataset][metric] = {"val": value, "iter": iteration}
        return True

    def get(self, dataset: str, metric: str) -> dict[str, Any] | None:
        """Return the record of a metric, None before its first value."""
        return self.records.get(dataset, {}).get(metric)

    def state_dict(self) -> dict[str, Any]:
        """Return all records."""
        return {
            d: {m: dict(record) for m, record in metrics.items()}
            for d, metrics in self.records.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""
        self.records = {d: {m: dict(r) for m, r in ms.items()} for d, ms in state.items()}
