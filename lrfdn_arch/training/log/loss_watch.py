"""Noticing a loss that stays finite and still ends what the run could have become."""

import math

FACTOR = 10  # above its lowest; batches and schedules move it by two or three


class LossWatch:
    """Says once that a loss exploded, and again when it has come back and does it once more."""

    def __init__(self) -> None:
        self._lowest = math.inf
        self._exploded = False

    def warning(self, iteration: int, loss: float) -> str | None:
        """Return what to say of ``loss``, the mean since the last call, or None."""
        was, self._exploded = self._exploded, loss > FACTOR * self._lowest
        self._lowest = min(self._lowest, loss)
        if was or not self._exploded:
            return None
        return (
            f"iter {iteration:,}: the loss is {loss / self._lowest:.3g} times its lowest. Weights "
            "seldom recover from that: start again from an earlier checkpoint, such as "
            "net_g_best.pth (path:pretrain_network_g), with a lower train:optim_g:lr"
        )
