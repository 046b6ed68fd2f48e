"""One iteration of the training model: what it computes, and when it refuses to."""

from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_models import batch, build_model, iterate
from torch.utils._python_dispatch import TorchDispatchMode

from lrfdn_arch import device
from lrfdn_arch.training.checkpoint import load_state, restore_model, save_state
from lrfdn_arch.training.finite import FiniteGuard, NotFiniteError
from lrfdn_arch.training.model import precision
from lrfdn_arch.training.model.precision import Precision
from lrfdn_arch.training.model.weights import decay_at


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def build(tmp_path: Path):
    """build(train__ema_decay=0.5, ...): a tiny LRFDNModel, always with the same weights."""

    return partial(build_model, tmp_path)


def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in network.state_dict().items()}


def test_an_update_is_that_of_plain_torch(build):
    model, reference = build(), build()
    data = batch(dtype=torch.float32)
    iterate(model, data, 1, 2, 3)
    network = reference.net_g
    optimizer = torch.optim.Adam(network.parameters(), 0.002, fused=False, foreach=False)
    for _ in range(3):
        optimizer.zero_grad()
        (network(data["lq"]) - data["gt"]).abs().mean().backward()
        optimizer.step()
    for name, weight in state(network).items():
        torch.testing.assert_close(model.net_g.state_dict()[name], weight, msg=name)


def test_every_weight_gets_a_gradient(build):
    model = build()
    iterate(model, batch())
    without = [n for n, p in model.net_g.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_bytes_and_floats_train_alike(build):
    a, b = build(), build()
    iterate(a, batch(), 1, 2)
    iterate(b, batch(dtype=torch.float32), 1, 2)
    for name, weight in state(a.net_g).items():
        torch.testing.assert_close(b.net_g.state_dict()[name], weight, msg=name)


def test_every_iteration_draws_one_of_the_patch_sizes(build):
    several, seen = build(train__patch_sizes=[30, 32], datasets__train__gt_size=32), []
    several.net_g.register_forward_hook(lambda net, inputs, output: seen.append(output.shape[-1]))
    iterate(several, batch(), *range(1, 41))
    assert set(seen) == {30, 32} and 10 <= seen.count(30) <= 30
    repeated = build(train__patch_sizes=[30, 32], datasets__train__gt_size=32)
    before = len(seen)
    repeated.net_g.register_forward_hook(lambda net, inputs, output: seen.append(output.shape[-1]))
    iterate(repeated, batch(), *range(31, 41))
    assert seen[before:] == seen[30:40], "a function of the iteration, so that runs resume"


def test_a_smaller_patch_is_the_corner_of_the_larger_one(build):
    cut = build(train__patch_sizes=[30], datasets__train__gt_size=32)
    reference = build(datasets__train__gt_size=30)
    data = batch()
    iterate(cut, data, 1, 2)
    corner = {"lq": data["lq"][..., :15, :15], "gt": data["gt"][..., :30, :30]}
    iterate(reference, data | corner, 1, 2)
    for name, weight in state(reference.net_g).items():
        torch.testing.assert_close(cut.net_g.state_dict()[name], weight, msg=name)


@pytest.mark.parametrize("micro", [1, 2, 3])
def test_accumulated_parts_equal_one_batch(build, micro):
    whole = build(datasets__train__batch_size_per_gpu=6)
    parts = build(datasets__train__batch_size_per_gpu=micro, datasets__train__accum_iter=6 // micro)
    for model in (whole, parts):
        iterate(model, batch(6), 1, 2)
    for name, weight in state(whole.net_g).items():
        torch.testing.assert_close(parts.net_g.state_dict()[name], weight, atol=2e-5, rtol=1e-4)
    a, b = whole.get_current_log(), parts.get_current_log()
    assert a["l_pix"] == pytest.approx(b["l_pix"], abs=1e-6)
    assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)


def test_the_average_is_the_formula(build):
    model = build(train__ema_decay=0.9, train__ema_warmup=False)
    expected = state(model.net_g)
    for iteration in (1, 2, 3):
        iterate(model, batch(seed=iteration), iteration)
        for name, weight in state(model.net_g).items():
            expected[name] = 0.9 * expected[name] + 0.1 * weight
    for name, weight in expected.items():
        torch.testing.assert_close(model.net_g_ema.state_dict()[name], weight, msg=name)


def test_the_average_warms_up():
    decays = [decay_at(n, 0.999, warmup=True) for n in (1, 10, 100, 100_000)]
    assert decays == [2 / 11, 11 / 20, 101 / 110, 0.999]
    assert decay_at(1, 0.999, warmup=False) == 0.999


def test_gradients_are_clipped_to_the_norm(build):
    model = build(train__grad_clip_max_norm=0.01)
    iterate(model, batch())
    norm = torch.stack([p.grad.norm() for p in model.net_g.parameters()]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-3)
    assert model.get_current_log()["grad_norm"] > 0.01  # as it was


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "SGD", "Adagrad", "RMSprop"])
def test_optimizers_of_torch_by_name(build, name):
    model = build(train__optim_g={"type": name, "lr": 0.001})
    before = state(model.net_g)
    iterate(model, batch())
    assert type(model.optimizer_g).__name__ == name
    assert any(not torch.equal(before[k], w) for k, w in state(model.net_g).items())
    fused = {"Adam", "AdamW", "SGD", "Adagrad"}
    assert bool(model.optimizer_g.param_groups[0].get("fused")) == (name in fused)


@pytest.mark.parametrize("changes", [{"use_amp": True, "amp_bf16": True}, {"use_amp": True}])
def test_mixed_precision_trains_close_to_float32(build, changes):
    exact, mixed = build(), build(**changes)
    for model in (exact, mixed):
        iterate(model, batch(), *range(1, 6))
    a, b = exact.get_current_log()["l_pix"], mixed.get_current_log()["l_pix"]
    assert a == pytest.approx(b, rel=0.02) and a != b
    assert all(weight.dtype == torch.float32 for weight in mixed.net_g.state_dict().values())


def test_channels_last_is_a_layout_and_nothing_else(build):
    plain, nhwc = build(), build(use_channels_last=True)
    for model in (plain, nhwc):
        iterate(model, batch(), 1, 2)
    assert nhwc.lq.is_contiguous(memory_format=torch.channels_last)
    for name, weight in state(plain.net_g).items():
        torch.testing.assert_close(nhwc.net_g.state_dict()[name], weight, atol=1e-4, rtol=1e-3)


OPTIMIZERS = {
    "Adam": {},
    "AdamW": {"amsgrad": True},
    "NAdam": {},
    "RAdam": {},
    "Adamax": {},
    "Adadelta": {},
    "Adagrad": {},
    "ASGD": {"t0": 0},
    "RMSprop": {"centered": True, "momentum": 0.9},
    "Rprop": {},
    "SGD": {"momentum": 0.9},
    "Adafactor": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("before", [False, True])
def test_a_state_of_the_other_memory_layout_resumes_alike(build, tmp_path, name, before):
    optimizer = {"type": name, "lr": 0.01, **OPTIMIZERS[name]}
    saved = build(train__optim_g=optimizer, use_channels_last=before)
    iterate(saved, batch(), 1, 2)
    save_state(saved, tmp_path / "2.state", 0, 2)
    resumed = build(train__optim_g=optimizer, use_channels_last=not before)
    restore_model(resumed, load_state(tmp_path / "2.state"), tmp_path / "2.state")
    for model in (saved, resumed):
        iterate(model, batch(seed=2), 3)
    for key, weight in state(saved.net_g).items():
        torch.testing.assert_close(
            resumed.net_g.state_dict()[key], weight, atol=1e-5, rtol=1e-4, msg=key
        )
    layout = resumed.precision.memory_format
    for parameter, values in resumed.optimizer_g.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape and value.dim() == 4:
                assert value.is_contiguous(memory_format=layout), key


def test_compilation_leaves_the_names_of_weights_alone(build, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kw: compiled.append(kw))
    model = build(use_compile=True, compile_mode="reduce-overhead")
    assert compiled == [{"mode": "reduce-overhead"}]  # in place; the averaged weights are not
    assert list(model.net_g.state_dict()) == list(model.net_g_ema.state_dict())
    assert not any("_orig_mod" in name for name in model.net_g.state_dict())


AUTO = {"use_amp": "auto", "use_channels_last": "auto", "use_compile": "auto"}


def test_on_the_cpu_auto_is_float32_as_without(build):
    model = build(**AUTO)
    assert str(model.precision) == str(build().precision) == "float32"


@pytest.mark.parametrize(
    ("capability", "change", "expected"),
    [
        ((9, 0), {}, "bfloat16 mixed, channels_last, compiled (default)"),
        ((9, 0), {"use_amp": False}, "float32 (TF32 convolutions), channels_last, compiled"),
        ((7, 5), {}, "float32, compiled (default)"),
        ((6, 1), {}, "float32"),
    ],
    ids=["H100", "H100 in float32", "without bfloat16", "old"],
)
def test_auto_is_what_the_gpu_has(monkeypatch, capability, change, expected):
    monkeypatch.setattr(precision, "uses_tf32", lambda device: capability >= (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: capability >= (8, 0))
    monkeypatch.setattr(device, "is_installed", lambda name: True)
    monkeypatch.setattr(device.shutil, "which", lambda name: name)
    found = Precision.of({**AUTO, **change}, torch.device("cuda"))
    assert str(found).startswith(expected)
    assert found.autocast in (None, torch.bfloat16)


def test_bfloat16_that_a_gpu_lacks_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(ValueError, match="lacks bfloat16; set use_amp: auto"):
        Precision.of({"use_amp": True, "amp_bf16": True}, torch.device("cuda"))


@pytest.mark.parametrize("mode", ["default", "reduce-overhead", "max-autotune"])
def test_parts_computed_by_cuda_graphs_add_to_gradients_outside_them(build, monkeypatch, mode):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kw: None)
    parts = {"datasets__train__batch_size_per_gpu": 2, "datasets__train__accum_iter": 2}
    model, expected = build(use_compile=True, compile_mode=mode, **parts), build(**parts)
    iterate(model, batch(), 1)
    outside = [torch.empty_like(weight) for weight in model.weights]
    for weight, tensor in zip(model.weights, outside, strict=True):
        weight.grad = tensor
    iterate(model, batch(), 2)
    kept = all(w.grad is tensor for w, tensor in zip(model.weights, outside, strict=True))
    assert kept == (mode != "default")
    iterate(expected, batch(), 1, 2)
    for name, weight in state(expected.net_g).items():
        torch.testing.assert_close(model.net_g.state_dict()[name], weight, msg=name)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_average_has_the_memory_layout_of_the_weights(build, channels_last):
    model = build(use_channels_last=channels_last)
    pairs = zip(model.net_g_ema.parameters(), model.net_g.parameters(), strict=True)
    assert all(average.stride() == weight.stride() for average, weight in pairs)


@pytest.mark.parametrize("where", ["gt", "weights"])
def test_a_loss_that_is_not_finite_stops_before_the_update(build, where):
    model = build()
    iterate(model, batch(), 1)
    data = batch(dtype=torch.float32)
    if where == "gt":
        data["gt"][2, 0, 0, 0] = float("nan")
    else:
        with torch.no_grad():
            model.net_g.LR_conv.bias[0] = float("inf")
    before, average = state(model.net_g), state(model.net_g_ema)
    with pytest.raises(
        NotFiniteError, match=r"(?s)iteration 2: loss (nan|inf).*0\.png, 1\.png, 2\.png"
    ) as e:
        iterate(model, data, 2)
    assert "gradient norm" in str(e.value)
    for network, expected in ((model.net_g, before), (model.net_g_ema, average)):
        for name, weight in state(network).items():
            assert torch.equal(weight, expected[name]), name


@pytest.mark.parametrize("optimizer", ["Adam", "NAdam", "RMSprop", "Muon"])
def test_the_deferred_guard_stops_every_update_from_the_bad_one_on(build, optimizer):
    model = build(train__optim_g={"type": optimizer, "lr": 0.001})
    iterate(model, batch(), 1)
    model.guard = FiniteGuard(model.device, deferred=True)  # as on a GPU
    iterate(model, batch(seed=2), 2)
    before = state(model.net_g)
    bad = batch(seed=3, dtype=torch.float32)
    bad["gt"][0] = float("inf")
    bad["lq_path"] = ["bad_image.png"]
    iterate(model, bad, 3)
    iterate(model, batch(seed=4), 4)
    for name, weight in state(model.net_g).items():
        assert torch.equal(weight, before[name]), name
    with pytest.raises(
        NotFiniteError, match=r"(?s)iteration 3: loss inf.*bad_image\.png"
    ) as caught:
        model.get_current_log()
    assert "update was not made" in " ".join(str(caught.value).split())


class Reads(TorchDispatchMode):
    """Counts values read by the host, which waits for a GPU then."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_amp": True, "amp_bf16": True},
        {"use_amp": True, "amp_bf16": False},
        {"train__optim_g": {"type": "Muon", "lr": 0.005}},
        {"train__optim_g": {"type": "Adagrad", "lr": 0.001}},
    ],
    ids=str,
)
def test_with_the_deferred_guard_an_iteration_reads_nothing_from_the_device(build, changes):
    model = build(**changes)
    scaled = model.scaler.is_enabled()
    model.guard = FiniteGuard(model.device, deferred=True, overflow_is_normal=scaled)
    iterate(model, batch(), 1)
    with Reads() as reads:
        iterate(model, batch(), 2)
    assert reads.count == 0
    model.get_current_log()


def test_the_deferred_guard_lets_good_updates_be(build):
    a, b = build(), build()
    b.guard = FiniteGuard(b.device, deferred=True)
    for model in (a, b):
        iterate(model, batch(), 1, 2, 3)
        model.get_current_log()
    for name, weight in state(a.net_g).items():
        assert torch.equal(weight, b.net_g.state_dict()[name]), name


def test_the_log_is_the_mean_since_the_last_one(build):
    model = build(train__optim_g={"type": "SGD", "lr": 1e-12})
    iterate(model, batch(seed=1), 1)
    first = model.get_current_log()["l_pix"]
    iterate(model, batch(seed=2), 2)
    second = model.get_current_log()["l_pix"]
    iterate(model, batch(seed=1), 3)
    iterate(model, batch(seed=2), 4)
    assert model.get_current_log()["l_pix"] == pytest.approx((first + second) / 2, abs=1e-6)
    assert model.get_current_log() == {}


@pytest.mark.slow
def test_a_compiled_network_trains_like_the_plain_one(build):
    plain, compiled = build(), build(use_compile=True)
    for model in (plain, compiled):
        iterate(model, batch(), 1, 2)
    for name, weight in state(plain.net_g).items():
        torch.testing.assert_close(compiled.net_g.state_dict()[name], weight, atol=1e-4, rtol=1e-3)
