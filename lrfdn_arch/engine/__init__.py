"""Running an experiment: the loop, checkpoints, validation, the run log."""
