"""When something is due: questions about an iteration's number."""

from dataclasses import dataclass

from lrfdn_arch.options import TrainOptions


@dataclass(frozen=True)
class Cadence:
    """What is due after which iteration; everything is due after the last.

    Args:
        total: the last iteration.
        print_freq: iterations between lines of the log.
        save_freq: iterations between checkpoints.
        val_freq: iterations between validations; None where there is nothing to validate on.
        val_at_end: whether there is a validation after the last iteration.
    """

    total: int
    print_freq: int
    save_freq: int
    val_freq: int | None
    val_at_end: bool

    @classmethod
    def of(cls, options: TrainOptions) -> "Cadence":
        """Read it off the options."""
        data = bool(options.phases("val")) and options.val is not None
        return cls(
            total=options.train.total_iter,
            print_freq=options.logger.print_freq,
            save_freq=options.logger.save_checkpoint_freq,
            val_freq=options.val.val_freq if data and options.val else None,
            val_at_end=data,
        )

    def should_print(self, iteration: int) -> bool:
        """Whether a line of the log is due."""
        return iteration % self.print_freq == 0 or iteration == self.total

    def should_save(self, iteration: int) -> bool:
        """Whether a checkpoint is due."""
        return iteration % self.save_freq == 0 or iteration == self.total

    def should_validate(self, iteration: int) -> bool:
        """Whether a validation is due."""
        if iteration == self.total:
            return self.val_at_end
        return self.val_freq is not None and iteration % self.val_freq == 0
