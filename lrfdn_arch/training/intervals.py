"""At which iterations the loop prints, validates and saves."""

from lrfdn_arch.options import TrainOptions


class Intervals:
    """Answers for every iteration what follows it; everything follows the last one.

    Args:
        options: of the run.
    """

    def __init__(self, options: TrainOptions) -> None:
        self.total = options.train.total_iter
        self._print_freq = options.logger.print_freq
        self._save_freq = options.logger.save_checkpoint_freq
        self._validates = options.val is not None and bool(options.phases("val"))
        self._val_freq = options.val.val_freq if options.val else None

    def should_print(self, iteration: int) -> bool:
        """Return whether a line of the log follows ``iteration``."""
        return iteration % self._print_freq == 0 or iteration == self.total

    def should_save(self, iteration: int) -> bool:
        """Return whether a checkpoint follows ``iteration``."""
        return iteration % self._save_freq == 0 or iteration == self.total

    def should_validate(self, iteration: int) -> bool:
        """Return whether a validation follows ``iteration``."""
        is_due = self._val_freq is not None and iteration % self._val_freq == 0
        return self._validates and (is_due or iteration == self.total)
