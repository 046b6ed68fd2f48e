"""Samples of datasets that draw from global generators, workers that die, requests to stop."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.data._utils import signal_handling

from lrfdn_arch.data.sampler import SampleKey
from lrfdn_arch.training.loader import SeededSamples
from lrfdn_arch.training.random_state import (
    derive_seed,
    random_state,
    restore_random_state,
    seed_everything,
)
from lrfdn_arch.training.stop_signal import StopSignal
from lrfdn_arch.training.workers import WorkerDiedError, batches_of_workers


class Draws(Dataset):
    """Draws from every generator, as datasets of BasicSR do."""

    def __getitem__(self, index: int) -> tuple:
        return index, *draws()


def draws() -> tuple:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_sample_depends_on_seed_epoch_and_index_alone():
    samples = SeededSamples(Draws(), seed=3)
    first = samples[SampleKey(0, 5)]
    seed_everything(99)
    draws()
    assert samples[SampleKey(0, 5)] == first
    others = [samples[SampleKey(1, 5)], samples[SampleKey(0, 6)], SeededSamples(Draws(), 4)[(0, 5)]]
    assert first[0] == 5
    assert all(other[1:] != first[1:] for other in others)
    assert len({first[1], first[2], first[3]}) == 3


def test_a_sample_leaves_the_generators_as_they_were():
    seed_everything(1)
    expected = draws()
    seed_everything(1)
    SeededSamples(Draws(), seed=3)[SampleKey(0, 0)]
    assert draws() == expected


def test_random_states_come_back_through_a_file(tmp_path):
    seed_everything(1, 2)
    random.gauss(0, 1)  # leaves half a pair behind
    np.random.randn()
    torch.save(random_state(), tmp_path / "state")
    expected = (*draws(), random.gauss(0, 1), np.random.randn())
    seed_everything(5)
    restore_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert (*draws(), random.gauss(0, 1), np.random.randn()) == expected


def test_seeds_differ_in_every_part():
    seeds = {
        derive_seed(*parts) for parts in [(1,), (2,), (1, 0), (1, 1), (0, 1), (11,), (1, 1, 0)]
    }
    assert len(seeds) == 7


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_request_to_stop_is_noted_and_handlers_come_back(number, code):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        stop.deferred = True
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested and stop.exit_code == code
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_wait():
    with StopSignal() as stop, pytest.raises(KeyboardInterrupt):
        stop.deferred = True
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same one, passed on by a launcher
        time.sleep(1.1)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("still here")


class EndsOneWorker(Dataset):
    """The first of two workers is killed at its second sample, while the other one is busy."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        if index == 2:
            os.kill(os.getpid(), signal.SIGBUS)
        if index == 3:
            time.sleep(60)
        return index


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_worker_that_dies_is_reported_once_and_no_other_is_after_it(monkeypatch):
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    list(DataLoader(TensorDataset(torch.zeros(1)), num_workers=1))  # torch installs its handler
    with pytest.raises(WorkerDiedError, match="ended by SIGBUS"):
        for _ in batches_of_workers(DataLoader(EndsOneWorker(), num_workers=2)):
            pass
    # torch looks at all its workers whenever a child process ends, the killed one among them.
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
