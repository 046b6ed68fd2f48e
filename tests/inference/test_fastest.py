"""``auto``: what starts fast, what is fastest, and when a lower precision is taken."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from small_networks import small

from lrfdn_arch.inference import fastest as choice
from lrfdn_arch.inference.fastest import Candidate, Measured, candidates, fastest, open_weights
from lrfdn_arch.inference.runtimes import Runtime

SAMPLE = np.random.default_rng(0).random((1, 3, 20, 24), dtype=np.float32)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The seconds that measuring finds by runtime, and 1 for others; "measured" counts."""
    seconds: dict[str, float] = {"measured": 0}

    def timed(runtime: Runtime, sample: Any) -> Measured:
        seconds["measured"] += 1
        return Measured(seconds.get(f"{runtime.name} {runtime.precision}", 1.0), sample)

    monkeypatch.setattr(choice, "timed", timed)
    return seconds


def offer_onnx(monkeypatch: pytest.MonkeyPatch, *providers: str) -> None:
    found = [*(f"{name}ExecutionProvider" for name in providers), "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: found)


def opened(weights: Path, **options: Any) -> str:
    runtime = open_weights(str(weights), device="cpu", **options)
    return f"{runtime.name} {runtime.precision}"


def test_a_small_job_takes_what_starts_fast_and_measures_nothing(
    weights: Path, times: dict[str, float]
) -> None:
    assert opened(weights) == "onnx fp32"
    assert times["measured"] == 0


def test_a_large_job_takes_the_fastest_and_remembers_it(
    weights: Path, times: dict[str, float], tmp_path: Path
) -> None:
    middle = {"sample": SAMPLE, "measure": False}
    assert opened(weights, **middle) == "onnx fp32", "starts fast"
    assert times["measured"] == 0
    times["eager fp32"] = 0.5
    assert opened(weights, sample=SAMPLE) == "eager fp32"
    first = times["measured"]
    assert first == 4
    assert opened(weights, **middle) == "eager fp32", "remembered"
    times["onnx fp32"] = 0.1
    assert opened(weights, sample=SAMPLE) == "eager fp32", "remembered"
    assert times["measured"] == first
    larger = tmp_path / "larger.pth"
    torch.save(small("LRFDN", num_feat=16).state_dict(), larger)
    assert opened(larger, sample=SAMPLE) == "onnx fp32", "another network"


def test_a_cache_that_is_broken_or_not_writable_is_replaced_by_measuring(
    weights: Path, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = choice.default_cache()
    cache.parent.mkdir(parents=True)
    cache.write_text("{ broken")
    assert opened(weights, sample=SAMPLE) == "onnx fp32"
    assert list(json.loads(cache.read_text()).values()) == ["onnx fp32"]
    monkeypatch.setattr(choice, "default_cache", lambda: cache / "below a file")
    assert opened(weights, sample=SAMPLE) == "onnx fp32"


def test_measuring_on_this_machine_takes_a_candidate(weights: Path) -> None:
    name, precision = opened(weights, sample=SAMPLE).split()
    assert Candidate(name, precision) in candidates("cpu")


def test_a_runtime_that_cannot_be_opened_is_left_out(
    weights: Path, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_onnx(file: Any, chosen: Candidate, device: str) -> Runtime:
        if chosen.name == "onnx":
            raise ValueError("its CUDA libraries do not load")
        return open_one(file, chosen, device)

    open_one = choice._open
    monkeypatch.setattr(choice, "_open", without_onnx)
    assert opened(weights, sample=SAMPLE) == "openvino fp32"


def image(error: float) -> Any:
    return np.full((1, 3, 8, 8), 0.5 + error, np.float32)


@pytest.mark.parametrize(
    ("seconds", "error", "taken"),
    [
        (0.70, 0.001, "bf16"),  # 60 dB
        (0.80, 0.001, "fp32"),  # not fast enough
        (0.70, 0.002, "fp32"),  # 54 dB
    ],
)
def test_a_lower_precision_must_be_much_faster_and_nearly_the_same(
    seconds: float, error: float, taken: str
) -> None:
    measured = {
        Candidate("eager", "fp32"): Measured(2.0, image(0)),
        Candidate("openvino", "fp32"): Measured(1.0, image(0)),
        Candidate("openvino", "bf16"): Measured(seconds, image(error)),
    }
    assert fastest(measured) == Candidate("openvino", taken)


def test_a_requested_precision_is_not_compared(weights: Path, times: dict[str, float]) -> None:
    times["eager bf16"] = 0.1
    options = {"sample": SAMPLE, "precision": "bf16"}
    assert opened(weights, **options) == "eager bf16"
    assert times["measured"] == 2, "openvino and eager have it"


def test_candidates_are_what_the_device_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_onnx(monkeypatch)
    names = ["onnx fp32", "openvino fp32", "eager fp32", "openvino bf16"]
    assert [" ".join(c) for c in candidates("cpu")] == names
    assert [" ".join(c) for c in candidates("cuda")] == ["eager fp32", "eager fp16"]
    offer_onnx(monkeypatch, "Tensorrt", "CUDA")
    names = ["eager fp32", "onnx fp32", "eager fp16", "onnx fp16"]
    assert [" ".join(c) for c in candidates("cuda")] == names
    with pytest.raises(ValueError, match=r"no runtime installed here .* has --precision int3"):
        candidates("cpu", "int3")


def test_a_network_without_a_fused_form_runs_in_torch(tmp_path: Path) -> None:
    path = tmp_path / "rfanet.pth"
    torch.save(small("RFANet").state_dict(), path)
    assert opened(path) == "eager fp32"


def test_a_package_by_another_name_has_a_version_too(
    weights: Path, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", version)
    assert opened(weights, sample=SAMPLE)
    assert f"onnxruntime {onnxruntime.__version__}" in choice.default_cache().read_text()


@pytest.mark.parametrize("save", [save_file, torch.save])
def test_torch_is_not_needed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., Any]
) -> None:
    path = tmp_path / "small.safetensors" if save is save_file else tmp_path / "small.pth"
    save(small("LRFDN").state_dict(), path)
    first = open_weights(str(path), device="cpu")(SAMPLE)
    monkeypatch.setattr("lrfdn_arch.weights.loading.load_network", None)
    np.testing.assert_array_equal(open_weights(str(path), device="cpu")(SAMPLE), first)


def test_other_weights_under_the_same_name_are_not_mixed_up(tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    results = []
    for width in (8, 16):
        torch.save(small("LRFDN", num_feat=width).state_dict(), path)
        results.append(open_weights(str(path), device="cpu"))
    assert [runtime.num_feat for runtime in results] == [8, 16]
