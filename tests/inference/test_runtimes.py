"""Every runtime computes the same, and mistakes are named."""

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from repository import RELEASED, set5_psnr
from small_networks import FUSED, photo, released, small
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from lrfdn_arch.archs import Architecture
from lrfdn_arch.evaluation.metrics import psnr_rgb
from lrfdn_arch.inference.onnx_runtime import OnnxRuntime
from lrfdn_arch.inference.runtimes import open_runtime
from lrfdn_arch.weights import LoadedNetwork
from lrfdn_arch.window import Window


@torch.no_grad()
@pytest.mark.parametrize("network_name", FUSED)
@pytest.mark.parametrize("name", ["eager", "onnx", "openvino"])
@pytest.mark.parametrize("size", [(1, 1), (20, 33)])
def test_runtimes_agree_with_the_network(
    network_name: str, name: str, size: tuple[int, int]
) -> None:
    network = small(network_name)
    lq = torch.rand(2, 3, *size)
    runtime = open_runtime(network, name, device="cpu")
    assert (runtime.name, runtime.scale, runtime.channels) == (name, 2, 3)
    found = torch.from_numpy(runtime(lq.numpy()))
    torch.testing.assert_close(found, network(lq), atol=3e-5, rtol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_the_compiled_runtime_agrees_with_the_network() -> None:
    network = small("LRFDN")
    runtime = open_runtime(network, "compiled", device="cpu")
    for size in ((20, 33), (24, 24)):
        lq = torch.rand(1, 3, *size)
        found = torch.from_numpy(runtime(lq.numpy()))
        torch.testing.assert_close(found, network(lq), atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_the_compiled_runtime_compiles_for_two_sizes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, compile_ = CompileCounter(), torch.compile

    def counted(network: nn.Module, dynamic: bool | None = None, **_: object) -> object:
        return compile_(network, backend=compiled, dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", counted)
    network = small("LRFDN")
    runtime = open_runtime(network, "compiled", device="cpu")
    for number in range(11):  # torch turns eager after eight programs
        lq = torch.rand(1, 3, 20 + number, 33 - number)
        found = torch.from_numpy(runtime(lq.numpy()))
        torch.testing.assert_close(found, network(lq), atol=2e-5, rtol=1e-5)
    assert 1 <= compiled.frame_count <= 3, "one size, then any height, then any width"


@torch.no_grad()
@pytest.mark.parametrize("network_name", RELEASED)
@pytest.mark.parametrize(
    ("runtime_name", "precision"), [("onnx", "fp32"), ("onnx", "fp16"), ("openvino", "fp32")]
)
def test_set5_loses_less_than_a_hundredth_of_a_decibel(
    shared: Path, network_name: str, runtime_name: str, precision: str
) -> None:
    reference = set5_psnr(network_name)
    network = released(shared, network_name)
    runtime = open_runtime(network, runtime_name, precision=precision, device="cpu")
    for name in ("bird", "butterfly", "head", "woman"):
        sr = np.rint(runtime(photo(shared, name).numpy())[0].clip(0, 1) * 255)
        with Image.open(shared / "data" / "Set5" / "HR" / f"{name}.png") as image:
            gt = np.asarray(image.convert("RGB"))
        found = sr.transpose(1, 2, 0).astype(np.uint8)
        height, width = found.shape[:2]
        value = psnr_rgb(found, gt[:height, :width], crop_border=4)
        expected = reference[name]
        assert abs(value - expected) < (0.01 if precision == "fp16" else 1e-3), (name, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "tensorrt"},
            "runtime 'tensorrt' is not known; choose eager, compiled, onnx, openvino",
        ),
        ({"precision": "int3"}, "eager has no --precision int3, only fp32 and fp16 and bf16"),
        ({"device": "toaster"}, "device 'toaster' is not known"),
        ({"device": "cuda:99"}, "torch sees no GPU cuda:99"),
        ({"name": "onnx", "precision": "bf16"}, "onnx has no --precision bf16, only fp32 and fp16"),
        (
            {"name": "openvino", "precision": "fp16"},
            "openvino has no --precision fp16, only fp32 and bf16",
        ),
    ],
)
def test_mistakes_are_named(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_runtime(small("LRFDN"), **arguments)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrfdn_arch.extras.find_spec", {"torch": "there"}.get)
    with pytest.raises(ValueError, match=r"needs the package openvino.*lrfdn-arch\[openvino\]"):
        open_runtime(small("LRFDN"), "openvino", device="cpu")


def test_a_broken_onnx_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"ONNX Runtime cannot read .*broken\.onnx"):
        OnnxRuntime(path)


@torch.no_grad()
@pytest.mark.parametrize("name", ["eager", "onnx", "openvino"])
def test_the_window_of_the_whole_image_changes_nothing(name: str) -> None:
    runtime = open_runtime(small("LRFDN"), name, device="cpu")
    lq = np.random.default_rng(0).random((1, 3, 31, 40), dtype=np.float32)
    np.testing.assert_allclose(runtime(lq, Window(0, 0, 31, 40)), runtime(lq), atol=1e-5)


class _SignalStack(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> tuple[int | None, int, int]:
    stack = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.address, stack.flags, stack.size


@pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack as Linux has it")
def test_openvino_leaves_the_stack_for_signals_alone() -> None:
    # Left behind freed, it kills the process at the next signal.
    before = signal_stack()
    first, second = (open_runtime(small("LRFDN"), "openvino", device="cpu") for _ in range(2))
    assert signal_stack() == before
    del first
    gc.collect()
    del second
    gc.collect()
    assert signal_stack() == before


@pytest.mark.parametrize(("precision", "expected"), [("fp32", "ieee"), ("bf16", "tf32")])
def test_fp32_is_not_tf32(precision: str, expected: str) -> None:
    found: list[str] = []
    cudnn: Any = torch.backends.cudnn

    class Convolution(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            found.append(cudnn.conv.fp32_precision)
            return super().forward(input)

    network = LoadedNetwork(Convolution(3, 3, 1), Architecture("C", Convolution), {}, 1, 3)
    before = cudnn.conv.fp32_precision
    cudnn.conv.fp32_precision = "tf32"
    open_runtime(network, precision=precision, device="cpu")(np.zeros((1, 3, 4, 4), np.float32))
    assert found == [expected]
    assert cudnn.conv.fp32_precision == "tf32"
    cudnn.conv.fp32_precision = before
