"""Without --device or --runtime, what is chosen also works: a GPU here is a pretended one."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from PIL import Image
from small_networks import small

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.device import choose_device
from lrfdn_arch.inference import fastest as choice
from lrfdn_arch.inference.fastest import candidates, open_fastest
from lrfdn_arch.inference.runtimes import RUNTIMES, Runtime, open_runtime, runs_on_gpus

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
    among = [("eager", "fp32"), ("onnx", "fp32")]
    monkeypatch.setattr(choice, "choose_device", lambda device: CPU)
    monkeypatch.setattr(choice, "open_runtime", without_onnx)
    taken = open_fastest(small("LRFDN"), among=among, seconds=lambda runtime: 1.0)
    assert taken.name == "eager", "auto leaves it out"


def without_onnx(network: Any, name: str, **options: Any) -> Runtime:
    if name == "onnx":
        raise ValueError("its CUDA libraries do not load")
    return open_runtime(network, name, **options)


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
    assert runtime.device == torch.device("cuda:1"), "tiles are planned by this GPU's memory"
    assert runtime(torch.rand(1, 3, 20, 16)).shape == (1, 3, 40, 32)


def test_auto_measures_what_the_device_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_onnx(monkeypatch)
    assert candidates(CPU) == [("eager", "fp32"), ("onnx", "fp32"), ("openvino", "fp32")]
    assert candidates(CUDA) == [("eager", "fp32"), ("eager", "fp16")]
    offer_onnx(monkeypatch, "Tensorrt", "CUDA")
    on_gpu = [(name, kind) for name in ("eager", "onnx") for kind in ("fp32", "fp16")]
    assert candidates(CUDA) == on_gpu


@pytest.mark.parametrize(
    ("precision", "measured"),
    [("fp32", ["eager", "onnx", "openvino"]), ("fp16", ["eager", "onnx"]), ("bf16", ["eager"])],
)
def test_auto_measures_the_runtimes_that_have_the_precision(
    precision: str, measured: list[str]
) -> None:
    found: list[Runtime] = []

    def seconds(runtime: Runtime) -> float:
        found.append(runtime)
        return 1.0

    taken = open_fastest(small("LRFDN"), device="cpu", precision=precision, seconds=seconds)
    assert [runtime.name for runtime in found or [taken]] == measured
    assert {runtime.precision for runtime in [*found, taken]} == {precision}


@pytest.mark.parametrize("precision", ["int3", "fp16"])
def test_a_precision_that_no_runtime_has_is_named(precision: str) -> None:
    with pytest.raises(ValueError, match=f"among openvino has --precision {precision}"):
        open_fastest(
            small("LRFDN"), device="cpu", precision=precision, among=[("openvino", "fp32")]
        )


def test_a_package_by_another_name_has_a_version_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise choice.PackageNotFoundError(package)

    monkeypatch.setattr(choice, "version", version)
    options = {"device": "cpu", "seconds": lambda runtime: 1.0}
    assert open_fastest(small("LRFDN"), **options).name == "eager"
    assert f"onnxruntime {onnxruntime.__version__}" in choice.default_cache().read_text()
