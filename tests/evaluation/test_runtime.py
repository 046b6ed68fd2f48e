"""The fair timing: in turn, warmed up, with spread; and the scores of later years."""

from math import e
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrfdn_arch.evaluation.audit import Estimate
from lrfdn_arch.evaluation.protocols import YEARS, passes
from lrfdn_arch.evaluation.results import (
    Counts,
    FairTiming,
    ImageScore,
    KitTiming,
    NetworkResult,
    Weights,
)
from lrfdn_arch.evaluation.scores import median_interval, score
from lrfdn_arch.evaluation.timing import PeakMemory, TimingPlan, time_in_turn, timed

CPU = torch.device("cpu")
LOG: list[str] = []


class Logged(nn.Conv2d):
    def __init__(self, label: str) -> None:
        super().__init__(3, 3, 1)
        self.label = label

    def forward(self, input: Tensor) -> Tensor:
        LOG.append(f"{self.label} {input.dtype} {tuple(input.shape)}")
        return super().forward(input)


def test_networks_are_timed_in_turn_after_their_warm_up() -> None:
    LOG.clear()
    plan = TimingPlan([("fp32", False), ("bf16", False)], batch=2, size=(8, 9), warmup=1, repeats=3)
    timings = time_in_turn({"A": Logged("A"), "B": Logged("B")}, plan, CPU)
    fp32, bf16 = "torch.float32 (2, 3, 8, 9)", "torch.bfloat16 (2, 3, 8, 9)"
    once = [f"A {fp32}", f"B {fp32}", f"A {bf16}", f"B {bf16}"]
    warm = [line for line in once for _ in range(2)]  # one warm-up, one for the memory
    assert warm + once * 3 == LOG
    assert [t.variant for t in timings["B"]] == ["fp32, eager", "bf16, eager"]


def test_a_timing_has_median_and_spread() -> None:
    plan = TimingPlan(size=(16, 16), warmup=2, repeats=7)
    (timing,) = time_in_turn({"A": Logged("A")}, plan, CPU)["A"]
    ordered = [timing.min_ms, timing.p25_ms, timing.median_ms, timing.p75_ms, timing.max_ms]
    assert ordered == sorted(ordered)
    assert ordered[0] > 0
    assert (timing.repeats, timing.warmup, timing.input_size) == (7, 2, (1, 3, 16, 16))


def test_timing_leaves_the_network_as_it_was() -> None:
    network = Logged("A").train()
    time_in_turn({"A": network}, TimingPlan([("bf16", False)], size=(8, 8), repeats=1), CPU)
    assert network.training
    assert network.weight.dtype == torch.float32


def test_a_variant_that_cannot_run_is_named() -> None:
    class Float32Only(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            raise RuntimeError(f"not implemented for {input.dtype}\nand so on")

    plan = TimingPlan([("fp16", False)], size=(8, 8))
    with pytest.raises(ValueError, match=r"^A cannot be timed in fp16, eager on cpu: .*float16$"):
        time_in_turn({"A": Float32Only(3, 3, 1)}, plan, CPU)


@pytest.mark.slow
def test_compiled_networks_are_timed_beside_eager_ones() -> None:
    plan = TimingPlan([("fp32", False), ("fp32", True)], size=(16, 16), warmup=1, repeats=2)
    timings = time_in_turn({"A": nn.Conv2d(3, 3, 3)}, plan, CPU)["A"]
    assert [t.variant for t in timings] == ["fp32, eager", "fp32, compiled"]


def test_resident_memory_grows_by_what_is_allocated() -> None:
    peak = PeakMemory(CPU)
    if peak.kind is None:
        pytest.skip("this system has no resettable peak of resident memory")
    block = torch.ones(256 * 1024 * 1024 // 4)
    grown = peak.mib()
    assert grown is not None
    assert 128 <= grown <= 512, "256 MiB, and what else the process does meanwhile"
    del block


def test_peak_memory_does_not_depend_on_what_ran_before() -> None:
    if PeakMemory(CPU).kind is None:
        pytest.skip("this system has no resettable peak of resident memory")
    plan = TimingPlan(size=(256, 256), warmup=3, repeats=1)
    big, small = nn.Conv2d(3, 256, 1), nn.Conv2d(3, 64, 1)  # outputs of 64 and 16 MiB
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with several, oneDNN may copy the output into another layout
    try:
        timings = time_in_turn({"big": big, "small": small, "again": big}, plan, CPU)
    finally:
        torch.set_num_threads(threads)
    peaks = {label: timing[0].memory_mib or 0 for label, timing in timings.items()}
    assert peaks["big"] == pytest.approx(64, abs=24), peaks
    assert peaks["small"] == pytest.approx(16, abs=12), peaks
    assert peaks["again"] == pytest.approx(peaks["big"], abs=24), peaks


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_on_a_gpu_events_and_the_allocator_measure() -> None:
    gpu = torch.device("cuda")
    lq = torch.rand(1, 3, 512, 512, device=gpu)
    _, milliseconds = timed(Logged("A").to(gpu), lq)
    assert milliseconds > 0
    plan = TimingPlan([("fp32", False), ("fp16", False)], size=(512, 512), repeats=3)
    fp32, fp16 = time_in_turn({"A": Logged("A")}, plan, gpu)["A"]
    assert fp32.memory_kind == "CUDA allocated"
    assert (fp32.memory_mib or 0) >= 3, "the output alone has 3 MiB"
    assert (fp16.memory_mib or 0) < (fp32.memory_mib or 0)


def test_the_clock_measures_the_forward_pass() -> None:
    def slow(lq: Tensor) -> Tensor:
        torch.testing.assert_close(lq, lq)
        import time

        time.sleep(0.02)
        return lq

    _, milliseconds = timed(slow, torch.zeros(1))
    assert milliseconds >= 20


def test_the_clock_records_on_the_stream_of_the_images_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: str = "the current GPU's") -> None:
            recorded.append(stream)

        def elapsed_time(self, other: "Event") -> float:
            return 7.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"that of {device}")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: recorded.append(str(device)))
    lq: Any = SimpleNamespace(device=torch.device("cuda:1"))  # a GPU that is not the current one
    assert timed(lambda image: image, lq) == (lq, 7.0)
    assert recorded == ["that of cuda:1", "that of cuda:1", "cuda:1"]


def warm(milliseconds: float, **changes: Any) -> FairTiming:
    timing = FairTiming(
        device="a CPU",
        precision="fp32",
        compiled=False,
        input_size=(1, 3, 256, 256),
        warmup=5,
        repeats=20,
        median_ms=milliseconds,
        p25_ms=milliseconds,
        p75_ms=milliseconds,
        min_ms=milliseconds,
        max_ms=milliseconds,
        memory_mib=None,
        memory_kind=None,
    )
    return timing.model_copy(update=changes)


def result(label: str, params: float, flops: float, runtime: float, psnr: float) -> NetworkResult:
    return NetworkResult(
        label=label,
        network=label,
        arguments={},
        data_range=1,
        weights=Weights(file="a", sha256="0", key=None, released=None),
        counts=Counts(
            params=int(params), flops_2023=1, flops_fvcore=int(flops), activations=1, convolutions=1
        ),
        images=(ImageScore(name="a", psnr_rgb=psnr),),
        kit_timing=KitTiming(clock="CPU clock", mean_ms=999 * runtime, memory_mib=None),
        fair_timings=(warm(runtime),),
    )


def value(estimate: Estimate | None) -> float | None:
    return estimate and estimate.value


def test_the_baseline_itself_scores_e_squared() -> None:
    rfdn = result("RFDN", 433e3, 27.1e9, 20.91, 29.04)
    for year in (2024, 2025, 2026):
        assert value(score(rfdn, rfdn, YEARS[year]).total) == pytest.approx(e**2)


def test_a_score_is_the_weighted_sum_of_its_parts() -> None:
    rfdn, half = result("RFDN", 400e3, 20e9, 20, 29), result("H", 200e3, 5e9, 10, 29)
    found = score(half, rfdn, YEARS[2024])
    assert (value(found.runtime), found.params) == (pytest.approx(e), pytest.approx(e))
    assert value(found.total) == pytest.approx(0.7 * e + 0.15 * e**0.5 + 0.15 * e)
    assert value(score(half, rfdn, YEARS[2026]).total) == pytest.approx(
        0.8 * e + 0.1 * e**0.5 + 0.1 * e
    )


def test_a_load_spike_that_hits_all_networks_leaves_the_score_s_interval_narrow() -> None:
    def timed_in_rounds(label: str, milliseconds: float) -> NetworkResult:
        network = result(label, 400e3, 20e9, milliseconds, 29)
        loads = (1, 1.01, 0.99, 3, 1, 3, 2, 1, 1.02, 3)
        samples = tuple(milliseconds * load for load in loads)
        timing = warm(float(np.median(samples)), samples_ms=samples)
        return network.model_copy(update={"fair_timings": (timing,)})

    base, half = timed_in_rounds("RFDN", 20), timed_in_rounds("H", 10)
    assert score(half, base, YEARS[2026]).runtime == Estimate(*[pytest.approx(e)] * 3)
    alone = median_interval(half.fair_timings[0])
    assert alone.low is not None
    assert alone.high is not None
    assert alone.high / alone.low > 2


@pytest.mark.parametrize(
    "changes",
    [{"warmup": 0}, {"precision": "fp16"}, {"input_size": (1, 3, 64, 64)}, {"device": "a GPU"}],
    ids=str,
)
def test_runtimes_that_were_not_taken_warm_and_alike_give_no_score(changes: dict) -> None:
    rfdn, other = result("RFDN", 400e3, 20e9, 20, 29), result("H", 200e3, 5e9, 10, 29)
    other = other.model_copy(update={"fair_timings": (warm(10, **changes),)})
    found = score(other, rfdn, YEARS[2026])
    assert (found.runtime, found.total) == (None, None)
    assert found.params == pytest.approx(e)
    assert score(rfdn, rfdn, YEARS[2026], same_run=False).runtime is None


def test_published_baselines_give_no_runtime_score() -> None:
    for year in (YEARS[2024], YEARS[2025], YEARS[2026]):
        published = year.published[0]
        network = result("A", published.params_m * 1e6, published.flops_g * 1e9, 1, 29)
        found = score(network, None, year)
        assert (found.params, found.flops) == (pytest.approx(e**2), pytest.approx(e**2))
        assert found.total is None


@pytest.mark.parametrize(
    ("psnr", "strict", "printed"),
    [(26.90, True, True), (26.8964, False, True), (26.8949, False, False), (27.1, True, True)],
)
def test_a_gate_is_passed_strictly_or_as_printed(psnr: float, strict: bool, printed: bool) -> None:
    gate = YEARS[2026].gates["valid"]
    assert passes(psnr, gate, printed=False) is strict
    assert passes(psnr, gate, printed=True) is printed
