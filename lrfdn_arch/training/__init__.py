"""Training and testing: the loop, what it saves, how it goes on, how results are measured.

``loop.py`` is the loop, ``session.py`` what happens between iterations, ``assembly.py`` how a run
is put together, ``training.py`` the command; ``testing/`` is ``test.py``.

Going on where a run stopped is exact. One order of samples, a function of the seed, serves all
processes: the state holds how many samples all of them together have used, and a run goes on with
the next one. On the same number of processes, threads and the same kind of device the weights end
equal bit for bit. On another number of processes the run sees the same samples in the same order;
where the batch of all processes together is the same (``batch_size_per_gpu`` divided by as much),
the losses agree to rounding, and only what draws random numbers in the network itself (dropout)
starts from new seeds, derived from seed, rank and iteration.
"""
