"""One process or many, on GPUs or CPUs: who am I, and how do we agree."""

import datetime
import os
import shutil
import subprocess
from typing import Any, Literal

import torch
import torch.distributed as dist

from lrfdn_arch.options import Options, Placement

Launcher = Literal["none", "pytorch", "slurm"]
_TIMEOUT = datetime.timedelta(minutes=30)  # of one exchange; a validation may take long


def set_up(launcher: Launcher, options: Options) -> Placement:
    """Choose this process's device and, with a launcher, join the other processes.

    Raises:
        ValueError: GPUs are asked for that are not there, or the launcher's variables are missing.
    """
    gpu = _wants_gpu(options, launcher)
    if launcher == "none":
        return Placement(num_gpu=int(gpu))
    rank, world_size, local_rank = _from_slurm(options) if launcher == "slurm" else _from_torchrun()
    if gpu:
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    backend = options.dist_params.backend or ("nccl" if gpu else "gloo")
    if backend == "nccl" and not gpu:
        raise ValueError("dist_params:backend is nccl, which needs GPUs; expected gloo, or none")
    dist.init_process_group(backend, rank=rank, world_size=world_size, timeout=_TIMEOUT)
    return Placement(rank=rank, world_size=world_size, num_gpu=int(gpu), distributed=True)


def tear_down() -> None:
    """Leave the group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather(value: Any, placement: Placement) -> list[Any]:
    """Return the ``value`` of every process, by rank; all of them must call this."""
    if not placement.distributed:
        return [value]
    values: list[Any] = [None] * placement.world_size
    dist.all_gather_object(values, value)
    return values


def from_first(value: Any, placement: Placement) -> Any:
    """Return the ``value`` of rank 0 in every process; all of them must call this."""
    if not placement.distributed:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


class Agreement:
    """Processes agreeing on a yes or no every few iterations, without waiting for a GPU.

    Args:
        placement: where this process runs.
        every: iterations between exchanges; between them the answer is no.
    """

    def __init__(self, placement: Placement, every: int = 10) -> None:
        self.placement = placement
        self.every = every
        self._group: Any = dist.new_group(backend="gloo") if placement.distributed else None

    def any(self, iteration: int, mine: bool) -> bool:
        """Return whether any process says yes, the same in all of them."""
        if not self.placement.distributed:
            return mine
        if iteration % self.every:
            return False
        flag = torch.tensor(int(mine))
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group)
        return bool(flag)


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
        raise ValueError(
            f"num_gpu is {options.num_gpu}; several GPUs need one process each: "
            f"torchrun --nproc_per_node {options.num_gpu} -m lrfdn_arch train -opt FILE "
            "--launcher pytorch"
        )
    return options.num_gpu > 0


def _from_torchrun() -> tuple[int, int, int]:
    return _numbers(
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        "start with: torchrun --nproc_per_node N -m lrfdn_arch train -opt FILE --launcher pytorch",
    )


def _from_slurm(options: Options) -> tuple[int, int, int]:
    rank, world_size, local_rank = _numbers(
        ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
        "start with: srun lrfdn train -opt FILE --launcher slurm",
    )
    os.environ.setdefault("MASTER_ADDR", _first_host(os.environ.get("SLURM_NODELIST", "")))
    port = options.dist_params.port or os.environ.get("MASTER_PORT", 29500)
    os.environ["MASTER_PORT"] = str(port)
    return rank, world_size, local_rank


def _numbers(names: tuple[str, str, str], how: str) -> tuple[int, int, int]:
    missing = [name for name in names if not os.environ.get(name, "").isdigit()]
    if missing:
        raise ValueError(f"the launcher should have set {', '.join(missing)}; {how}")
    first, second, third = (int(os.environ[name]) for name in names)
    return first, second, third


def _first_host(nodes: str) -> str:
    """Return the first of slurm's nodes, ``gpu[03-07,9]`` being gpu03 and so on."""
    if shutil.which("scontrol"):
        result = subprocess.run(
            ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True
        )
        return result.stdout.split()[0]
    name, bracket, rest = nodes.partition("[")
    if not bracket:
        return nodes.split(",")[0] or "127.0.0.1"
    return (
        name.split(",")[0] if "," in name else name + rest.split("]")[0].split(",")[0].split("-")[0]
    )
