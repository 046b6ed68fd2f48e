"""Devices: free memory, float32 arithmetic, and what errors of their libraries become."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from lrfdn_arch import device


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(device, "_CGROUP", tmp_path)
    return tmp_path


def free() -> int:
    return device.free_memory(torch.device("cpu"))


def write(folder: Path, **files: object) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_a_limit_the_machines_memory_counts(cgroup: Path) -> None:
    assert free() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    write(cgroup, memory__max="max", memory__current=5, memory__stat="inactive_file 1")
    assert free() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_counts_without_its_page_cache(cgroup: Path, version: int) -> None:
    limit, used, cache = 6 << 20, 5 << 20, 3 << 20
    if version == 2:
        stat = f"active_file 7\ninactive_file {cache}"
        write(cgroup, memory__max=limit, memory__current=used, memory__stat=stat)
    else:
        names = {"memory__limit_in_bytes": limit, "memory__usage_in_bytes": used}
        stat = f"inactive_file 7\ntotal_inactive_file {cache}"
        write(cgroup / "memory", **names, memory__stat=stat)
    assert free() == limit - used + cache


def test_a_limit_that_is_exceeded_leaves_nothing(cgroup: Path) -> None:
    write(cgroup, memory__max=4096, memory__current=8192, memory__stat="inactive_file 0")
    assert free() == 0


def test_memory_that_torch_holds_and_does_not_use_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"mem_get_info": (5 << 30, 80 << 30), "memory_reserved": 9, "memory_allocated": 4}
    for name, figure in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, figure=figure: figure)
    assert device.free_memory(torch.device("cuda:1")) == (5 << 30) + 9 - 4


@pytest.fixture
def settings() -> Any:
    """The float32 settings, as they are and restored afterwards."""
    cudnn: Any = torch.backends.cudnn
    found = {"conv": cudnn.conv, "rnn": cudnn.rnn, "matmul": torch.backends.cuda.matmul}
    before = {name: setting.fp32_precision for name, setting in found.items()}
    yield found
    for name, setting in found.items():
        setting.fp32_precision = before[name]


@pytest.mark.parametrize("matmul", ["none", "ieee", "tf32"])
def test_arithmetic_is_full_float32_and_restored(settings: Any, matmul: str) -> None:
    settings["matmul"].fp32_precision = matmul  # torch's newer way; "tf32" stops the older one
    before = {name: setting.fp32_precision for name, setting in settings.items()}
    benchmark = torch.backends.cudnn.benchmark
    with device.float32_arithmetic():
        assert {setting.fp32_precision for setting in settings.values()} == {"ieee"}
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cudnn.benchmark
    with device.float32_arithmetic(tf32=True):
        assert torch.backends.cudnn.allow_tf32
        assert settings["matmul"].fp32_precision == "ieee"
    assert before == {name: setting.fp32_precision for name, setting in settings.items()}
    assert benchmark == torch.backends.cudnn.benchmark


def test_tf32_is_named_where_convolutions_use_it(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda")
    settings["conv"].fp32_precision = settings["rnn"].fp32_precision = "tf32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert device.uses_tf32(gpu)
    assert not device.uses_tf32(torch.device("cpu"))
    with device.float32_arithmetic():
        assert not device.uses_tf32(gpu)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not device.uses_tf32(gpu)


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        ("Failed to find C compiler. Please specify via CC environment variable.", "Triton and"),
        ("Cannot find a working triton installation. Either the package is not", "Triton and"),
        ("InvalidCxxCompiler: No working C++ compiler found in ('g++',)", r"a C\+\+ compiler"),
    ],
)
def test_a_missing_compiler_is_one_line(error: str, needed: str) -> None:
    message = f"^torch.compile needs {needed}.*lacks: install .*, or set use_compile=false$"
    with (
        pytest.raises(ValueError, match=message),
        device.compiler_errors("set use_compile=false"),
    ):
        raise RuntimeError(error)
    with pytest.raises(RuntimeError, match="shapes"), device.compiler_errors("nothing"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_deterministic_algorithms_are_chosen_and_settings_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch._inductor import config

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.backends.cudnn.benchmark = True
    with device.deterministic_algorithms(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert config.deterministic
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert not config.deterministic
    torch.backends.cudnn.benchmark = False
    with device.deterministic_algorithms(False):
        assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_without_a_deterministic_algorithm_is_named() -> None:
    message = (
        "^deterministic: true is not possible: upsample_bicubic2d.* deterministic implementation$"
    )
    with pytest.raises(ValueError, match=message), device.deterministic_algorithms(True):
        raise RuntimeError(
            "upsample_bicubic2d_backward_out_cuda does not have a deterministic implementation, "
            "but you set 'torch.use_deterministic_algorithms(True)'. You can turn off ..."
        )
    with pytest.raises(RuntimeError, match="shapes"), device.deterministic_algorithms(True):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize("compiler", ["gcc", None])
def test_what_a_gpu_offers_is_asked_of_it(monkeypatch: pytest.MonkeyPatch, compiler: Any) -> None:
    monkeypatch.setattr(device, "is_installed", lambda name: True)
    monkeypatch.setattr(device.shutil, "which", lambda name: name == compiler)
    found = {}
    for capability in ((6, 1), (7, 5), (8, 0), (9, 0)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        gpu = torch.device("cuda")
        found[capability] = device.has_bfloat16(gpu), device.can_compile(gpu)
        assert not device.has_bfloat16(torch.device("cpu"))
        assert not device.can_compile(torch.device("cpu"))
    expected = {(6, 1): (False, False), (7, 5): (False, True), (8, 0): (True, True)}
    expected |= {(9, 0): (True, True)}
    assert found == {c: (half, able and compiler == "gcc") for c, (half, able) in expected.items()}
