"""All networks as torch modules: sizes, scales, gradients, arguments."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from small_networks import small
from torch import nn

from lrfdn_arch import archs
from lrfdn_arch.archs import (
    ARCHITECTURES,
    EFDN,
    EFSA,
    ESA,
    LRFDB,
    LRFDN,
    MAFFSRN,
    RFDN,
    RLFN,
    SPAN,
    RFANet,
)
from lrfdn_arch.archs.resize import enlarge_bilinear

NAMES = list(ARCHITECTURES)
BLOCKS = [block for record in ARCHITECTURES.values() for block in record.blocks]
SCALES = {name: (2, 3, 4, 8) if name == "RFANet" else (1, 2, 3, 4, 5) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_any_whole_scale_gives_that_size(name: str) -> None:
    for upscale in SCALES[name]:
        network = small(name, upscale=upscale)
        assert network(torch.rand(2, 3, 17, 20)).shape == (2, 3, 17 * upscale, 20 * upscale)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (14, 12), (3, 15), (15, 2)])
@torch.inference_mode()
def test_small_images_are_padded_by_replication_and_cropped(
    name: str, size: tuple[int, int]
) -> None:
    network = small(name, upscale=3).eval()
    h, w = size
    side = network.min_size
    lq = torch.rand(1, 3, h, w)
    padded = F.pad(lq, (0, max(0, side - w), 0, max(0, side - h)), mode="replicate")
    expected = network(padded)[..., : 3 * h, : 3 * w]
    torch.testing.assert_close(network(lq), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("size", [(1, 1), (9, 30), (13, 14), (15, 15), (16, 33)])
def test_blocks_keep_the_shape_at_any_size(block: type[nn.Module], size: tuple[int, int]) -> None:
    x = torch.rand(2, 16, *size)
    assert block(16)(x).shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = small(name, num_feat=16, upscale=2).train()
    network(torch.rand(2, 3, 24, 24)).square().mean().backward()
    gradients = {n: p.grad for n, p in network.named_parameters()}
    assert not [n for n, grad in gradients.items() if grad is None or not grad.abs().sum() > 0]


def test_the_block_shortcut_adds_each_block_s_input() -> None:
    x = torch.rand(1, 8, 16, 16)
    plain, shortcut = LRFDB(8), LRFDB(8, block_shortcut=True)
    shortcut.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(shortcut(x), plain(x) + x)


def test_esa_with_a_single_convolution_is_esa_whose_others_change_nothing() -> None:
    single, three = ESA(8, single_conv=True), ESA(8)
    three.load_state_dict(single.state_dict(), strict=False)
    for conv in (three.conv_max, three.conv3_):
        nn.init.dirac_(conv.weight)  # type: ignore[arg-type]
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    three.relu = nn.Identity()
    x = torch.rand(1, 8, 33, 20)
    with torch.inference_mode():
        torch.testing.assert_close(single(x), three(x))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "SPAN"])
def test_img_range_scales_the_input_and_the_output(name: str) -> None:
    plain, ranged = small(name, img_range=1.0).train(), small(name, img_range=255.0).train()
    ranged.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(ranged(x), plain(x * 255) / 255)
        assert not torch.allclose(ranged(x), plain(x))


@pytest.mark.parametrize("name", [name for name in NAMES if ARCHITECTURES[name].range_layers])
@torch.inference_mode()
def test_the_record_s_range_layers_carry_a_change_of_img_range(name: str) -> None:
    network, other = small(name, img_range=2.0).eval(), small(name, img_range=8.0).eval()
    layers, state = ARCHITECTURES[name].range_layers, network.state_dict()
    assert layers is not None
    state.update({key: state[key] / 4 for key in layers.inputs})
    state.update({key: state[key] * 4 for key in layers.outputs})
    other.load_state_dict(state)
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(other(x), network(x))


def test_span_multiplies_its_input_without_the_mean_alone() -> None:
    network, ranged = small("SPAN", img_range=1.0).eval(), small("SPAN", img_range=8.0).eval()
    ranged.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 16, 16)
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(ranged(x), network((x - mean) * 8 + mean))


def test_efdn_clamps_in_evaluation_alone() -> None:
    network = small("EFDN", upscale=2)
    x = 30 * torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        raw, clamped = network.train()(x), network.eval()(x)
    assert raw.min() < 0 and raw.max() > 1
    torch.testing.assert_close(clamped, raw.clamp(0, 1))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "MAFFSRN"])
def test_channels_in_and_out_are_honest(name: str) -> None:
    network = small(name, num_in_ch=1, num_out_ch=2, upscale=2)
    assert network(torch.rand(1, 1, 16, 16)).shape == (1, 2, 32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_one_channel_in_and_out_works_and_is_read_off_the_weights(name: str) -> None:
    network = small(name, num_in_ch=1, num_out_ch=1, upscale=2)
    assert network(torch.rand(1, 1, 16, 16)).shape == (1, 1, 32, 32)
    found = archs.recognize(network.state_dict())
    assert found is not None
    assert found[0].build(found[1]).state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_kept_and_changes_the_network(name: str) -> None:
    parameters = inspect.signature(ARCHITECTURES[name].network).parameters
    network = small(name)
    assert {argument for argument in parameters if hasattr(network, argument)} == set(parameters)


@pytest.mark.parametrize("name", NAMES)
def test_constructor_arguments_are_read_off_the_weights(name: str) -> None:
    for upscale in SCALES[name]:
        network = small(name, num_feat=16, upscale=upscale)
        found = archs.recognize(network.state_dict())
        assert found is not None
        record, arguments = found
        expected = record.arguments_of(network)
        img_range = expected.pop("img_range")
        assert (record.name, img_range) == (name, record.parameters["img_range"].default)
        assert expected == {**expected, **arguments}
        assert record.build(arguments).state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
def test_incomplete_weights_are_not_recognized(name: str) -> None:
    state = small(name).state_dict()
    missing = [key for key in state if key.startswith(("head", "conv_1", "fea_conv", "conv_first"))]
    assert missing
    for key in missing:
        del state[key]
    assert archs.recognize(state) is None


def test_the_papers_larger_variants_are_arguments_away() -> None:
    def parameters(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert parameters(RLFN(num_feat=52, mid_channels=52, num_block=6)) == 543_740
    assert parameters(SPAN(num_feat=48)) == 426_288


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LRFDN(num_feat=12), "divisible by 8, got 12"),
        (lambda: LRFDN(num_feat=0), "divisible by 8, got 0"),
        (lambda: LRFDN(num_block=0), "LRFDN needs num_block of at least 1"),
        (lambda: LRFDN(upscale=0), "LRFDN needs upscale of at least 1, got 0"),
        (lambda: RFDN(img_range=0), "RFDN needs img_range above 0, got 0"),
        (lambda: RFDN(num_feat=7), "even num_feat of at least 4, got 7"),
        (lambda: EFSA(6), "divisible by 4, got 6"),
        (lambda: ESA(3), "at least 4, or esa_channels of at least 1, got 3"),
        (lambda: RLFN(mid_channels=0), "RLFN needs mid_channels of at least 1, got 0"),
        (lambda: RLFN(esa_channels=0), "esa_channels of at least 1"),
        (lambda: EFDN(num_feat=7), "even num_feat of at least 4, got 7"),
        (lambda: SPAN(num_block=1), "SPAN needs num_block of at least 2, got 1"),
        (lambda: MAFFSRN(num_feat=6), "divisible by 4, got 6"),
        (lambda: MAFFSRN(num_out_ch=1), "MAFFSRN needs num_out_ch of num_in_ch, 3, got 1"),
        (lambda: RFANet(upscale=5), "RFANet needs upscale of 2, 3, 4 or 8, got 5"),
    ],
)
def test_impossible_arguments_are_refused(build: "type[nn.Module]", message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("size", [((2, 3), (24, 29)), ((25, 25), (160, 160)), ((1, 4), (15, 40))])
def test_the_enlargement_of_training_is_bilinear_interpolation(
    layout: torch.memory_format, size: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    (h, w), (height, width) = size
    torch.manual_seed(0)
    q = torch.rand(2, 4, h, w).to(memory_format=layout).requires_grad_()
    gradient = torch.rand(2, 4, height, width).to(memory_format=layout)
    expected = F.interpolate(q, size=(height, width), mode="bilinear", align_corners=False)
    (wanted,) = torch.autograd.grad(expected, q, gradient)
    found = enlarge_bilinear(q, height, width)
    (got,) = torch.autograd.grad(found, q, gradient)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    largest = wanted.abs().max()
    torch.testing.assert_close(got / largest, wanted / largest, rtol=0, atol=1e-6)
    assert found.is_contiguous(memory_format=layout)


def test_the_enlargement_of_training_sums_in_float32_in_mixed_precision() -> None:
    torch.manual_seed(0)
    q = torch.rand(1, 4, 25, 25, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = enlarge_bilinear(q, 160, 160)
    found.float().sum().backward()
    exact = F.interpolate(q.double(), size=(160, 160), mode="bilinear", align_corners=False)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=0)
    assert q.grad is not None
    assert float(q.grad.float().sum()) == pytest.approx(4 * 160 * 160, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_training_and_evaluation_compute_the_same(name: str) -> None:
    network = small(name)
    lq = torch.rand(1, 3, 26, 31)
    trained, evaluated = network.train()(lq), network.eval()(lq)
    trained = trained.clamp(0, 1) if name == "EFDN" else trained  # in evaluation alone
    torch.testing.assert_close(trained, evaluated, rtol=0, atol=1e-6)


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_stay_in_half_precision_in_mixed_precision(block: type[nn.Module]) -> None:
    x = torch.rand(1, 16, 16, 16, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block(16)(x).dtype == torch.bfloat16
