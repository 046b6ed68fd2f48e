"""Devices: selection, description, modes, arithmetic, free memory, and their libraries' errors."""

import ctypes
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from lrfdn_arch.extras import is_installed, require

if TYPE_CHECKING:
    import torch  # imported where it is used: upscaling by ONNX Runtime or OpenVINO needs none
    from torch import nn

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_GPU_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (  # of version 2 and version 1
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
# "DefaultCPUAllocator: can't allocate memory", "CUDA out of memory", "std::bad_alloc",
# "CUDNN_STATUS_ALLOC_FAILED", "Failed to allocate memory for requested buffer" and the like.
_RAN_OUT = re.compile(
    r"allocate|bad.alloc|alloc_failed|out of memory|not enough memory", re.IGNORECASE
)
# "InvalidCxxCompiler", "Failed to find C compiler" and "TritonMissing" of torch.compile.
_NO_COMPILER = re.compile(
    r"InvalidCxxCompiler|find C compiler|no.*C\+\+ compiler|TritonMissing|working triton", re.I
)


def choose_device(
    device: "str | torch.device | None" = None, *, gpu: bool = True
) -> "torch.device":
    """Return ``device``, "cpu", "cuda" or "cuda:N"; by default the first GPU, else the CPU.

    ``gpu=False`` makes the CPU the default.

    Raises:
        ValueError: the device is unknown or unsupported, torch does not find that GPU, or torch is
            not installed.
    """
    require("torch", extra="torch")
    import torch

    if device is None:
        return torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r} is not known; give cpu, cuda or cuda:N") from error
    if chosen.type == "cuda" and not (chosen.index or 0) < torch.cuda.device_count():
        raise ValueError(f"torch sees no GPU {device!s} here ({torch.cuda.device_count()} in all)")
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device!s} is not supported; give cpu, cuda or cuda:N")
    return chosen


def uses_cpu(device: "str | torch.device | None") -> bool:
    """Return whether ``device`` is the CPU, or None on a machine without a GPU.

    torch is not imported for that: a GPU's driver counts as a GPU until torch has been asked.
    """
    if device is not None:
        return str(device) == "cpu"
    if "torch" in sys.modules:
        return choose_device().type == "cpu"
    for name in _GPU_DRIVERS if is_installed("torch") else ():
        with suppress(OSError):
            ctypes.CDLL(name)
            return False
    return True


def cpu_threads() -> int:
    """Return how many threads torch uses on the CPU, or would use if it were imported."""
    if torch := sys.modules.get("torch"):
        return torch.get_num_threads()
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return min(usable_cores(), psutil.cpu_count(logical=False) or usable_cores())


def usable_cores() -> int:
    """Return the number of logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def device_name(device: "str | torch.device") -> str:
    """Return the GPU's name, or the CPU's with the number of threads that torch uses."""
    if str(device) != "cpu":
        import torch

        return torch.cuda.get_device_name(device)
    threads = cpu_threads()
    return f"{cpu_name()}, {threads} thread{'' if threads == 1 else 's'}"


def cpu_name() -> str:
    """Return the CPU's model name, or its architecture if the system does not report one."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def keep_freed_memory() -> None:
    """Let this process keep freed memory for the next tensor.

    glibc returns large freed blocks (always those above 32 MiB) to the kernel, which clears each
    page again at the next use. A network frees and allocates hundreds of megabytes per image: on
    two cores that took a third of the total time. The setting affects the whole process, so only
    commands call this. It does nothing outside Linux with glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 26))
    for what, value in settings if mallopt else ():
        mallopt(what, value)  # type: ignore[misc]


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for the exceptions of torch and other runtimes when memory runs out.

    Each library has its own exception classes; only the messages are similar.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or not _RAN_OUT.search(str(error)):
            raise
        raise MemoryError(str(error).strip().splitlines()[0]) from error


@contextmanager
def compiler_errors(advice: str) -> Iterator[None]:
    """Raise ValueError, ending in ``advice``, where torch.compile finds no compiler.

    Compilation starts with the first call of a network, not with ``torch.compile``.
    """
    try:
        yield
    except Exception as error:  # torch raises classes of several modules
        text = f"{type(error).__name__} {error}"
        if not _NO_COMPILER.search(text):
            raise
        gpu = "Triton and a C compiler" if "riton" in text or " C compiler" in text else ""
        raise ValueError(
            f"torch.compile needs {gpu or 'a C++ compiler'}, which this machine lacks: install "
            f"{'triton and gcc' if gpu else 'g++ or clang'}, or {advice}"
        ) from error


@contextmanager
def evaluating(network: "nn.Module") -> Iterator[None]:
    """Run a network in evaluation mode, and without compiling it anew for every image size."""
    was_training = network.training
    network.eval()
    # Without this module, which takes seconds to import, nothing is compiled. In a kit's process it
    # cannot be imported, because functions of torch are replaced there.
    compiler = sys.modules.get("torch._dynamo")
    try:
        with compiler.set_stance("force_eager") if compiler else nullcontext():
            yield
    finally:
        network.train(was_training)


@contextmanager
def float32_arithmetic(tf32: bool = False) -> Iterator[None]:
    """Compute in float32 with ``cudnn.benchmark`` off; settings are restored afterwards.

    It is full float32, for equal images across devices; ``tf32`` allows TF32 in convolutions
    (10-bit mantissa), PyTorch's default on recent GPUs and that of the challenge's kit.
    """
    import torch

    cudnn: Any = torch.backends.cudnn  # a module to pyright, an object with properties at run time
    settings: tuple[Any, ...] = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)

    def apply(values: Sequence[str], benchmark: bool) -> None:
        cudnn.allow_tf32 = values[0] == "tf32"  # otherwise reading this older setting fails
        for setting, value in zip(settings, values, strict=True):
            setting.fp32_precision = value
        cudnn.benchmark = benchmark

    before, benchmark = [setting.fp32_precision for setting in settings], cudnn.benchmark
    kind = "tf32" if tf32 else "ieee"
    try:
        apply((kind, kind, "ieee"), False)
        yield
    finally:
        apply(before, benchmark)


@contextmanager
def deterministic_algorithms(on: bool) -> Iterator[None]:
    """Compute the same bits in every run on one kind of GPU; settings are restored afterwards.

    Each operation then has one algorithm, of which the results do not depend on the order in which
    threads finish, instead of the fastest one as measured at the start.

    Raises:
        ValueError: an operation in the block has no such algorithm.
    """
    if not on:
        yield
        return
    import torch
    from torch._inductor import config

    cudnn: Any = torch.backends.cudnn
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    before = cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    try:
        cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)  # of cuDNN, too
        with config.patch(deterministic=True):
            yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        reason = str(error).split(",")[0]
        raise ValueError(f"deterministic: true is not possible: {reason}") from error
    finally:
        cudnn.benchmark = before[0]
        torch.use_deterministic_algorithms(before[1])


def _capability(device: "torch.device") -> tuple[int, int]:
    """Return a GPU's CUDA compute capability, (0, 0) for a CPU."""
    import torch

    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)


def has_bfloat16(device: "torch.device") -> bool:
    """Return whether ``device`` is a GPU that computes in bfloat16, from the year 2020 on."""
    return _capability(device) >= (8, 0)


def can_compile(device: "torch.device") -> bool:
    """Return whether ``device`` is a GPU for which torch.compile finds Triton and a C compiler."""
    compilers = os.environ.get("CC") or "cc", "gcc", "clang"
    able = _capability(device) >= (7, 0) and is_installed("triton")
    return able and any(map(shutil.which, compilers))


def uses_tf32(device: "torch.device") -> bool:
    """Return whether float32 convolutions on ``device`` are computed in TF32 by default."""
    import torch

    cudnn: Any = torch.backends.cudnn
    return _capability(device) >= (8, 0) and cudnn.conv.fp32_precision == "tf32"


def free_memory(device: "str | torch.device") -> int:
    """Return how many bytes this process can still allocate on ``device``.

    On a GPU that includes what torch has reserved and not in use.
    """
    if str(device) != "cpu":
        import torch

        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    return min(psutil.virtual_memory().available, _container_left())


def _container_left() -> int:
    """Return the memory left under a container's limit (cgroup); very large without a limit.

    The file page cache counts as used memory there, but the kernel frees it on demand.
    """
    for limit, used, cache in _CGROUP_FILES:
        try:
            left = int((_CGROUP / limit).read_text()) - int((_CGROUP / used).read_text())
            stat = (_CGROUP / limit).with_name("memory.stat").read_text().splitlines()
            return max(0, left + int(dict(line.split() for line in stat)[cache]))
        except (OSError, ValueError, KeyError):  # no such file, or no limit ("max")
            continue
    return sys.maxsize
