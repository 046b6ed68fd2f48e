"""One process or many, on GPUs or CPUs: how they find each other, exchange values and agree."""

import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from lrfdn_arch import __version__
from lrfdn_arch.options import Options, Placement
from lrfdn_arch.text import first_few, first_line
from lrfdn_arch.training.peers import Peers

Launcher = Literal["none", "pytorch", "slurm"]
T = TypeVar("T")
_LOGGER = logging.getLogger("basicsr")
_LONGEST_WAIT = timedelta(minutes=30)  # of one operation; a validation may take long
_LAUNCHERS = {  # variables with rank, number of processes and rank on the machine; the command
    "pytorch": (
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        "torchrun --nproc_per_node N -m lrfdn_arch train -opt FILE --launcher pytorch",
    ),
    "slurm": (
        ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
        "srun lrfdn train -opt FILE --launcher slurm",
    ),
}


@contextmanager
def joined(
    launcher: Launcher, options: Options, auto_resume: bool = False
) -> Iterator[tuple[Placement, Peers]]:
    """Choose this process's device and, with a launcher, join the other processes.

    While the block runs the processes watch each other; an error of a collective operation is
    replaced by its reason in another process.

    Raises:
        ValueError: there is no such GPU, the launcher's variables are missing, the processes have
            different options, or another process ended.
    """
    gpu = _wants_gpu(options, launcher)
    if launcher == "none":
        yield Placement(num_gpu=int(gpu)), Peers()
        return
    rank, world_size, local_rank = _ranks(launcher, options)
    if gpu:
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    backend = options.dist_params.backend or ("nccl" if gpu else "gloo")
    if backend == "nccl" and not gpu:
        raise ValueError("dist_params:backend is nccl, which needs GPUs; expected gloo, or none")
    facts = {"version": __version__, "backend": backend, "--auto_resume": auto_resume}
    facts |= _flat(options.model_dump(mode="json"))
    limits, timeout = options.dist_params, options.dist_params.timeout
    launcher_hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = _connect(timeout, is_host=rank == 0 and not launcher_hosts)
    peers = Peers(_connect(timeout), rank, world_size, limits)
    try:
        _meet(store, rank, world_size, timeout, facts)
        group = PrefixStore("group", store)
        dist.init_process_group(
            backend, store=group, rank=rank, world_size=world_size, timeout=_LONGEST_WAIT
        )
        yield Placement(rank, world_size, int(gpu), distributed=True), peers
    except RuntimeError as error:
        if cause := peers.cause():
            peers.close(cause, in_another=True)
            raise ValueError(f"{cause}. Resume with --auto_resume") from error
        peers.close(f"{type(error).__name__}: {first_line(error)}")
        raise
    except BaseException as error:
        peers.close(first_line(error) if isinstance(error, Exception) else "it was interrupted")
        raise
    finally:
        peers.close()
        if dist.is_initialized():
            dist.destroy_process_group()


def gather(value: T) -> list[T]:
    """Return the ``value`` of every process, by rank; all of them must call this."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_first(function: Callable[[], T]) -> T:
    """Return what ``function`` returns in the first process; all processes must call this."""
    if not dist.is_initialized():
        return function()
    box: list[Any] = [function() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def check_equal(facts: Sequence[Mapping[str, Any]]) -> None:
    """Check that the ``facts`` of all processes, by rank, are equal.

    Raises:
        ValueError: they are not; the message names the first differences.
    """
    first = facts[0]
    for number, other in enumerate(facts):
        differing = [
            f"{key} ({first.get(key)}, {other.get(key)})"
            for key in {**first, **other}
            if first.get(key) != other.get(key)
        ]
        if differing:
            raise ValueError(
                f"processes 0 and {number} differ in {first_few(differing)}; start all of them "
                "with the same options on the same data"
            )


def _meet(store: Any, rank: int, world_size: int, timeout: float, facts: Mapping[str, Any]) -> None:
    """Wait for all processes, naming those that are late, and check that their ``facts`` agree."""
    store.set(f"facts/{rank}", json.dumps(facts))
    began = said = time.monotonic()
    while late := [str(n) for n in range(world_size) if not store.check([f"facts/{n}"])]:
        now = time.monotonic()
        if now - began > _LONGEST_WAIT.total_seconds():
            raise ValueError(f"process {first_few(late)} of {world_size} did not start")
        if now - said > timeout:
            said = now
            _LOGGER.warning(f"waiting for process {first_few(late)} of {world_size} to start")
        time.sleep(0.05)
    check_equal([json.loads(store.get(f"facts/{n}")) for n in range(world_size)])


def _connect(timeout: float, is_host: bool = False) -> Any:
    """Return a connection to the store of process 0, or of its launcher."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    for _ in range(max(1, round(_LONGEST_WAIT.total_seconds() / timeout))):
        try:
            wait = timedelta(seconds=timeout)
            store = TCPStore(host, port, is_master=is_host, wait_for_workers=False, timeout=wait)
        except RuntimeError as error:
            if is_host:
                raise ValueError(f"process 0 cannot listen at {host}:{port}: {error}") from error
            _LOGGER.warning(f"waiting for process 0 at {host}:{port}")
        else:
            return PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    raise ValueError(f"process 0 at {host}:{port} did not answer; is it running?")


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return nested options as one mapping from paths like ``train:optim_g:lr`` to values."""
    if not isinstance(value, dict):
        return {path.removeprefix(":"): value}
    return {p: v for key, part in value.items() for p, v in _flat(part, f"{path}:{key}").items()}


def _wants_gpu(options: Options, launcher: Launcher) -> bool:
    available = torch.cuda.is_available()
    if options.num_gpu == "auto":
        return available
    if options.num_gpu > 0 and not available:
        raise ValueError(
            f"num_gpu is {options.num_gpu}, and torch {torch.__version__} sees no GPU here; "
            "expected num_gpu: 0 or auto (--force_yml num_gpu=0), or a CUDA build of torch"
        )
    if options.num_gpu > 1 and launcher == "none":
        command = _LAUNCHERS["pytorch"][1].replace("N", str(options.num_gpu), 1)
        raise ValueError(
            f"num_gpu is {options.num_gpu}; several GPUs need one process each: {command}"
        )
    return options.num_gpu > 0


def _ranks(launcher: Literal["pytorch", "slurm"], options: Options) -> tuple[int, int, int]:
    """Return rank, number of processes, and rank on this machine; under slurm set the address."""
    names, command = _LAUNCHERS[launcher]
    missing = [name for name in names if not os.environ.get(name, "").isdigit()]
    if missing:
        raise ValueError(
            f"the launcher should have set {', '.join(missing)}; start with: {command}"
        )
    if launcher == "slurm":
        ask = ["scontrol", "show", "hostnames", os.environ.get("SLURM_NODELIST", "")]
        hosts = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()
        os.environ.setdefault("MASTER_ADDR", hosts[0] if hosts else "127.0.0.1")
        port = options.dist_params.port or os.environ.get("MASTER_PORT", 29500)
        os.environ["MASTER_PORT"] = str(port)
    rank, world_size, local_rank = (int(os.environ[name]) for name in names)
    return rank, world_size, local_rank
