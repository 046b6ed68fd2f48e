"""Without --device or --runtime, what is chosen also works: a GPU here is a pretended one."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from small_networks import small

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.device import choose_device
from lrfdn_arch.inference.runtimes import RUNTIMES, open_runtime, runs_on_gpus

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def offer_onnx(monkeypatch: pytest.MonkeyPatch, *providers: str) -> None:
    found = [*(f"{name}ExecutionProvider" for name in providers), "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: found)


@pytest.mark.usefixtures("gpu")
def test_a_runtime_that_cannot_use_the_gpu_gets_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_onnx(monkeypatch)
    devices = {name: choose_device(gpu=runs_on_gpus(name)) for name in RUNTIMES}
    assert devices == {"eager": CUDA, "compiled": CUDA, "onnx": CPU, "openvino": CPU}
    offer_onnx(monkeypatch, "CUDA")
    assert choose_device(gpu=runs_on_gpus("onnx")) == CUDA
    for name in ("onnx", "openvino"):
        assert choose_device("cpu", gpu=runs_on_gpus(name)) == CPU


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("how", ["--runtime onnx", "--runtime openvino", "--weights small.onnx"])
def test_the_command_needs_no_device_beside_a_gpu(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    offer_onnx(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LRFDN_WEIGHTS", str(weights))
    Image.new("RGB", (9, 8), (200, 100, 50)).save("photo.png")
    assert entry.run(main, ["export", "onnx", "--out", "small.onnx"]) == 0
    assert entry.run(main, ["upscale", "photo.png", *how.split()]) == 0
    assert Path("photo_x2.png").exists()


def test_a_gpu_asked_for_is_not_replaced_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    offer_onnx(monkeypatch)
    with pytest.raises(ValueError, match="this onnxruntime lacks CUDA support"):
        open_runtime(small("LRFDN"), "onnx", device="cuda")
    with pytest.raises(ValueError, match="openvino is for --device cpu, got cuda"):
        open_runtime(small("LRFDN"), "openvino", device="cuda")


def test_a_gpu_that_onnx_runtime_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    offer_onnx(monkeypatch, "CUDA")  # as onnxruntime-gpu does, whether its libraries load or not
    with (
        pytest.warns(UserWarning, match="not in available provider names"),
        pytest.raises(ValueError, match="cannot use the GPU: its CUDA libraries do not load"),
    ):
        open_runtime(small("LRFDN"), "onnx", device="cuda")


def test_onnx_runtime_gets_the_gpu_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    session, chosen = onnxruntime.InferenceSession, []

    class OnGpu(session):  # computes on the CPU
        def __init__(self, model: Any, options: Any, providers: list[Any]) -> None:
            chosen.extend(providers)
            super().__init__(model, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    offer_onnx(monkeypatch, "CUDA")
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnGpu)
    runtime = open_runtime(small("LRFDN"), "onnx", device="cuda:1")
    (name, settings), _ = chosen
    assert (name, settings["device_id"]) == ("CUDAExecutionProvider", 1)
    assert runtime.device == "cuda:1", "tiles are planned by this GPU's memory"
    assert runtime(np.zeros((1, 3, 20, 16), np.float32)).shape == (1, 3, 40, 32)
