"""Training: ``run.py`` builds and runs an option file, ``trainer.py`` is its loop.

Resuming is exact. One order of samples, a function of the seed, serves all processes: a state
contains how many samples all of them together have used, and a resumed run continues with the next
one. With the same number of processes and threads, on the CPU, the final weights are equal bit for
bit. With another number of processes the run sees the same samples in the same order; where the
batch of all processes together is the same (``batch_size_per_gpu`` divided accordingly), the losses
agree to rounding. Only what draws random numbers in the network itself, such as dropout, starts
from new seeds, derived from seed, rank and iteration.
"""
