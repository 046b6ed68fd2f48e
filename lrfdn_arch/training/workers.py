"""Batches from the worker processes of a loader, and what to do when one of them dies."""

import multiprocessing
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data import DataLoader

_CHILD_ENDED = getattr(signal, "SIGCHLD", None)  # not on Windows
_SECONDS_TO_DIE = 5  # after SIGKILL; a process stuck in a system call can take longer
_LIKELY_REASONS = {
    "SIGKILL": "most likely because the memory of the machine or the container ran out: lower "
    "datasets:train:num_worker_per_gpu or free memory",
    "SIGBUS": "most likely because shared memory ran out: lower datasets:train:num_worker_per_gpu, "
    "or start the container with a larger --shm-size",
    "SIGSEGV": "most likely by the code that decodes images: set "
    "datasets:train:num_worker_per_gpu=0 to see where",
}


class WorkerDiedError(ValueError):
    """A worker process of the training loader ended, which none does by itself."""


def ignore_stop_signals(worker_id: int) -> None:
    """Ignore Ctrl-C and SIGTERM in a worker: the whole group receives them, the parent saves.

    Terminals, torchrun, timeout and schedulers signal all processes of a group. The parent ends its
    workers, and they end by themselves when it is gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def batches_of_workers(loader: DataLoader) -> Iterator[Mapping[str, Any]]:
    """Yield the batches of ``loader``, with or without workers.

    torch reports a dead worker by an exception at any point of the training, which may be the
    middle of an update, and its own shutdown waits for locks that a killed worker may hold. Here
    the exception comes between updates, within a second, and surviving workers are killed.

    Raises:
        WorkerDiedError: a worker ended.
        ValueError, OSError: of a sample that cannot be read.
    """
    workers: list[BaseProcess] = []
    victims: list[BaseProcess] = []
    waiting = False

    def interrupt(number: int, frame: Any) -> None:
        if waiting and not victims and (dead := _dead(workers)):
            victims.extend(dead)
            for worker in workers:  # before they complain of a connection that breaks
                worker.kill()
            raise WorkerDiedError

    handler = signal.getsignal(_CHILD_ENDED) if _CHILD_ENDED else None
    with _no_signal(_CHILD_ENDED):  # until the handler that torch installs is replaced
        batches = _started(loader)
        workers += getattr(batches, "_workers", ())  # those that are dead already, too
        if _CHILD_ENDED and workers:
            signal.signal(_CHILD_ENDED, interrupt)
    try:
        while True:
            if dead := _dead(workers):
                raise _death(dead[0])
            waiting = True
            batch = next(batches, None)
            waiting = False
            if batch is None:
                return
            yield batch
    except Exception as error:
        waiting = False
        batches._shutdown = True  # type: ignore[attr-defined] (torch's shutdown might wait forever)
        patience = 0 if isinstance(error, ValueError) else 1  # broken pipes come before the exit
        if dead := victims or _dead(workers, patience):
            raise _death(dead[0]) from None
        raise _without_traceback(error) from error
    finally:
        waiting = False
        del batches  # torch asks the workers to end
        for worker in workers:
            worker.kill()  # those that have not
        for worker in workers:
            worker.join(_SECONDS_TO_DIE)  # torch's handler raises for any that is left as a zombie
        if _CHILD_ENDED and workers:
            signal.signal(_CHILD_ENDED, handler)


def _started(loader: DataLoader) -> Iterator[Mapping[str, Any]]:
    """Start the workers of ``loader``; one may die, and torch notice, before all are started."""
    others = multiprocessing.active_children()
    try:
        return iter(loader)
    except RuntimeError as error:
        workers = [w for w in multiprocessing.active_children() if w not in others]
        for worker in workers:
            worker.kill()
        found = re.search(r"worker \(pid (\d+)\) is killed by signal: (\w+)", str(error))
        if found is None:
            raise
        signals = {"Killed": "SIGKILL", "Bus": "SIGBUS", "Segmentation": "SIGSEGV"}
        raise _ended_by(signals.get(found[2], found[2]), int(found[1])) from None


@contextmanager
def _no_signal(number: int | None) -> Iterator[None]:
    """Hold a signal back while the block runs."""
    if number is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        if number is not None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


def _dead(workers: Sequence[BaseProcess], patience: float = 0) -> list[BaseProcess]:
    """Return the workers that have ended; ``patience`` is how many seconds to wait for one."""
    deadline = time.monotonic() + patience
    while workers and not any(w.exitcode is not None for w in workers):
        if time.monotonic() >= deadline:
            break
        time.sleep(0.05)
    return [w for w in workers if w.exitcode is not None]


def _death(worker: BaseProcess) -> WorkerDiedError:
    code = worker.exitcode or 0
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return _ended_by(name, worker.pid)


def _ended_by(name: str, pid: int | None) -> WorkerDiedError:
    reason = f", {_LIKELY_REASONS[name]}" if name in _LIKELY_REASONS else ""
    return WorkerDiedError(f"the data loader's worker process {pid} was ended by {name}{reason}")


def _without_traceback(error: Exception) -> Exception:
    """Return a worker's error about a sample with its own message only."""
    if not isinstance(error, ValueError | OSError):
        return error
    _, found, message = str(error).rpartition(f"\n{type(error).__name__}: ")
    return ValueError(message.strip()) if found else error
