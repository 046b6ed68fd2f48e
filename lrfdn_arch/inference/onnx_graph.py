"""The fused networks as ONNX graphs, written node by node.

torch's exporters differ from version to version, take seconds, and fix or complicate what depends
on the image's size. The networks are short enough to be said directly, and what is said is what
runs: dynamic batch, height and width, padding to 15x15 included.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrfdn_arch.archs.padding import MIN_SIZE
from lrfdn_arch.extras import require
from lrfdn_arch.inference.fused_network import (
    SLOPE,
    FusedConv,
    FusedLRFDB,
    FusedNetwork,
    FusedRFDB,
)

OPSET = 17
_IR_VERSION = 8  # the one that came with opset 17
INPUT, OUTPUT = "lq", "sr"
AXES = ("row", "column")
_FLOAT32, _INT64, _FLOAT16 = 1, 7, 10  # of TensorProto


def build_model(network: FusedNetwork, *, half: bool = False, windows: bool = False) -> Any:
    """Return ``network`` as an ``onnx.ModelProto``.

    Input "lq" (N, num_in_ch, H, W), output "sr" (N, num_out_ch, H*upscale, W*upscale), both
    float32, RGB, in [0, 1], not clamped; N, H, W are free, from 1 pixel on.

    Args:
        network: from :func:`lrfdn_arch.inference.fuse`.
        half: weights and arithmetic in float16 inside.
        windows: for tiles: six more inputs, "first_row", "second_row", "share_row" and the same for
            columns, as :func:`lrfdn_arch.inference.window.sources` returns them, which give the
            stretch of the attention's map.

    Raises:
        ValueError: the package onnx is missing.
    """
    require("onnx", extra="onnx")
    from onnx import TensorProto, checker, helper

    graph = _Graph(half, windows)
    _write_network(graph, network)
    sizes = [TensorProto.FLOAT, ["batch", network.num_in_ch, "height", "width"]]
    colours = network.upsampler.out_channels // network.upscale**2
    out_sizes = [TensorProto.FLOAT, ["batch", colours, "out_height", "out_width"]]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"{network.network}_x{network.upscale}",
            [helper.make_tensor_value_info(INPUT, *sizes), *_window_inputs(helper, windows)],
            [helper.make_tensor_value_info(OUTPUT, *out_sizes)],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants in the order they were asked for; every method returns a value's name."""

    def __init__(self, half: bool, windows: bool) -> None:
        from onnx import helper, numpy_helper

        self._make_node = helper.make_node
        self._from_array = numpy_helper.from_array
        self.half = half
        self.windows = windows
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self._make_node(kind, list(inputs), [name], **attributes))
        return name

    def floats(self, values: Tensor) -> str:
        array = values.detach().cpu().numpy().astype(np.float16 if self.half else np.float32)
        return self._constant(array)

    def integers(self, *values: int) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def _constant(self, array: Any) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(self._from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        return self.floats(torch.tensor(value))

    def conv(self, x: str, conv: FusedConv) -> str:
        assert conv.bias is not None
        top, left = conv.padding
        out = self.op(
            "Conv",
            x,
            self.floats(conv.weight),
            self.floats(conv.bias),
            kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride),
            pads=[top, left, top, left],
            dilations=list(conv.dilation),
        )
        return self.activation(out, conv.activation)

    def activation(self, x: str, name: str) -> str:
        if name == "gelu":  # runtimes know this pattern; the operator of its own is opset 20
            erf = self.op("Erf", self.op("Div", x, self.number(2**0.5)))
            twice = self.op("Mul", x, self.op("Add", erf, self.number(1.0)))
            return self.op("Mul", twice, self.number(0.5))
        if name == "leaky_relu":
            return self.op("LeakyRelu", x, alpha=SLOPE)
        if name == "relu":
            return self.op("Relu", x)
        if name == "relu6":
            return self.op("Clip", x, self.number(0.0), self.number(6.0))
        return self.op("Sigmoid", x) if name == "sigmoid" else x


def _window_inputs(helper: Any, windows: bool) -> list[Any]:
    kinds = (("first", _INT64), ("second", _INT64), ("share", _FLOAT32)) if windows else ()
    return [
        helper.make_tensor_value_info(f"{kind}_{axis}", number, [f"padded_{axis}s"])
        for axis in AXES
        for kind, number in kinds
    ]


def _write_network(graph: _Graph, network: FusedNetwork) -> None:
    x = _pad_to_minimum(graph, INPUT)
    if graph.half:
        x = graph.op("Cast", x, to=_FLOAT16)
    features = fea = graph.conv(x, network.fea_conv)
    outputs: list[str] = []
    for block in network.blocks:
        if isinstance(block, FusedLRFDB):
            features = _write_lrfdb(graph, block, features)
        else:
            assert isinstance(block, FusedRFDB)
            features = _write_rfdb(graph, block, features)
        outputs.append(features)
    fused = graph.conv(graph.op("Concat", *outputs, axis=1), network.c)
    lr = graph.op("Add", graph.conv(fused, network.LR_conv), fea)
    pixels = graph.conv(lr, network.upsampler)
    out = graph.op("DepthToSpace", pixels, blocksize=network.upscale, mode="CRD")
    if graph.half:
        out = graph.op("Cast", out, to=_FLOAT32)
    _crop(graph, out, network.upscale)


def _write_lrfdb(graph: _Graph, block: FusedLRFDB, x: str) -> str:
    d1 = graph.conv(x, block.c1_d)
    d2 = graph.conv(graph.conv(d1, block.c1_r), block.c2_d)
    d3 = graph.conv(graph.conv(d2, block.c2_r), block.c3_d)
    r4 = graph.conv(graph.conv(d3, block.c3_r), block.c4)
    distilled = graph.op("Concat", d1, d2, d3, r4, axis=1)
    a = graph.conv(distilled, block.conv1)
    p = graph.op("MaxPool", graph.conv(a, block.conv2), kernel_shape=[7, 7], strides=[3, 3])
    q = graph.op("Add", graph.conv(p, block.conv_max), graph.conv(p, block.conv3))
    m = graph.conv(graph.op("Add", _resize(graph, q, a), a), block.conv4)
    out = graph.op("Mul", graph.conv(distilled, block.c5), m)
    return graph.op("Add", out, x) if block.block_shortcut else out


def _write_rfdb(graph: _Graph, block: FusedRFDB, x: str) -> str:
    r1 = graph.conv(x, block.c1_r)
    r2 = graph.conv(r1, block.c2_r)
    r4 = graph.conv(graph.conv(r2, block.c3_r), block.c4)
    distilled = graph.op(
        "Concat",
        graph.conv(x, block.c1_d),
        graph.conv(r1, block.c2_d),
        graph.conv(r2, block.c3_d),
        r4,
        axis=1,
    )
    a = graph.conv(distilled, block.conv1)
    p = graph.op("MaxPool", graph.conv(a, block.conv2), kernel_shape=[7, 7], strides=[3, 3])
    q = graph.conv(graph.conv(graph.conv(p, block.conv_max), block.conv3), block.conv3_)
    detail = graph.conv(distilled, block.conv_f)
    m = graph.conv(graph.op("Add", _resize(graph, q, a), detail), block.conv4)
    return graph.op("Mul", graph.conv(distilled, block.c5), m)


def _resize(graph: _Graph, q: str, like: str) -> str:
    if graph.windows:
        return _stretch(graph, _stretch(graph, q, "row", axis=2), "column", axis=3)
    shape = graph.op("Shape", q, end=2)
    sizes = graph.op("Concat", shape, graph.op("Shape", like, start=2), axis=0)
    return graph.op(
        "Resize", q, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel"
    )


def _stretch(graph: _Graph, q: str, name: str, *, axis: int) -> str:
    share = graph.op("Cast", f"share_{name}", to=_FLOAT16) if graph.half else f"share_{name}"
    if axis == 2:
        share = graph.op("Unsqueeze", share, graph.integers(1))  # (rows, 1)
    first = graph.op("Gather", q, f"first_{name}", axis=axis)
    second = graph.op("Gather", q, f"second_{name}", axis=axis)
    return graph.op("Add", first, graph.op("Mul", graph.op("Sub", second, first), share))


def _pad_to_minimum(graph: _Graph, x: str) -> str:
    """Repeat the last row and column up to 15x15, and nothing where the image is large enough."""
    size = graph.op("Shape", x, start=2)
    missing = graph.op("Sub", graph.op("Max", size, graph.integers(MIN_SIZE, MIN_SIZE)), size)
    pads = graph.op("Concat", graph.integers(0, 0, 0, 0, 0, 0), missing, axis=0)
    return graph.op("Pad", x, pads, mode="edge")


def _crop(graph: _Graph, out: str, upscale: int) -> None:
    size = graph.op("Shape", INPUT, start=2)
    end = graph.op("Mul", size, graph.integers(upscale, upscale))
    graph.op("Slice", out, graph.integers(0, 0), end, graph.integers(2, 3), name=OUTPUT)
