"""Fused networks as ONNX graphs, written node by node.

The forward of a fused network is traced down to its convolutions, and each operation is written as
one or a few nodes, with dynamic batch, height and width, including the padding to 15x15. torch's
exporters differ between versions, take seconds, and fix or complicate whatever depends on the image
size; in OpenVINO this graph is 28 % faster than torch's own export of the unfused network.
"""

from typing import Any

import numpy as np
from torch import fx, nn

from lrfdn_arch.archs.fused import SLOPE, FusedConv, FusedNetwork
from lrfdn_arch.archs.resize import enlarge_bicubic, resize_in_window, resize_nearest
from lrfdn_arch.inference.windowed_graph import FLOAT16, FLOAT32, STRETCH, Graph

OPSET = 17
_IR_VERSION = 8  # the version released with opset 17
INPUT, OUTPUT = "lq", "sr"


def build_model(network: FusedNetwork, *, half: bool = False) -> Any:
    """Return ``network`` as an ``onnx.ModelProto``.

    Input "lq" (N, num_in_ch, H, W), output "sr" (N, num_out_ch, H*upscale, W*upscale), both
    float32, RGB, in [0, 1], not clamped; N, H and W are dynamic and at least 1. The metadata has
    what a :class:`lrfdn_arch.inference.runtimes.Runtime` knows of its network.

    Args:
        network: from :func:`lrfdn_arch.inference.fuse.fuse`.
        half: use float16 for the weights and the arithmetic.
    """
    from onnx import TensorProto, checker, helper

    graph = Graph(half)
    x = _pad_to_minimum(graph, INPUT, network.min_size)
    x = graph.op("Cast", x, to=FLOAT16) if half else x
    out = _write_traced(graph, network, x)
    out = graph.op("Cast", out, to=FLOAT32) if half else out
    size = graph.op("Shape", INPUT, start=2)
    end = graph.op("Mul", size, graph.integers(network.upscale, network.upscale))
    graph.op("Slice", out, graph.integers(0, 0), end, graph.integers(2, 3), name=OUTPUT)
    sizes = [TensorProto.FLOAT, ["batch", network.num_in_ch, "height", "width"]]
    out_sizes = [TensorProto.FLOAT, ["batch", network.num_out_ch, "out_height", "out_width"]]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"{network.network}_x{network.upscale}",
            [helper.make_tensor_value_info(INPUT, *sizes)],
            [helper.make_tensor_value_info(OUTPUT, *out_sizes)],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(model, full_check=True)
    known = {
        "scale": network.upscale,
        "num_in_ch": network.num_in_ch,
        "num_feat": network.num_feat,
        "precision": "fp16" if half else "fp32",
        "windows": int(network.uses_window),
    }
    known |= {} if network.overlap is None else {"overlap": network.overlap}
    helper.set_model_props(model, {key: str(value) for key, value in known.items()})
    return model


class _Tracer(fx.Tracer):
    """Records ``upscale_padded`` down to the convolutions with their activations."""

    traced_func_name = "upscale_padded"

    def __init__(self) -> None:
        super().__init__(autowrap_functions=(resize_in_window, resize_nearest, enlarge_bicubic))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, FusedConv)


def _write_traced(graph: Graph, network: FusedNetwork, x: str) -> str:
    """Write ``network.upscale_padded`` node by node and return the name of its output.

    Raises:
        ValueError: it contains an operation that has no ONNX form here.
    """
    names: dict[fx.Node, str] = {}

    def value(argument: Any) -> Any:
        """Return the name of a node's value; numbers are returned unchanged."""
        if isinstance(argument, fx.Node):
            return names[argument]
        if isinstance(argument, list | tuple):
            return [value(item) for item in argument]
        return argument

    for node in _Tracer().trace(network).nodes:
        if node.op == "placeholder":  # the image, or a window, which the graph does not have
            names[node] = x
        elif node.op == "call_module":
            conv = network.get_submodule(str(node.target))
            assert isinstance(conv, FusedConv), "nothing else is a leaf"
            names[node] = _conv(graph, names[node.args[0]], conv)
        elif node.op == "get_attr":
            names[node] = graph.floats(network.get_buffer(str(node.target)))
        elif node.op == "output":
            return names[node.args[0]]
        else:
            options = {key: value(argument) for key, argument in node.kwargs.items()}
            names[node] = _write_operation(graph, node.target, value(node.args), options)
    raise AssertionError("a traced graph has an output")


def _write_operation(graph: Graph, target: Any, inputs: Any, options: dict[str, Any]) -> str:
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    if name == "resize_in_window":
        return _resize(graph, inputs[0], inputs[1])
    if name == "resize_nearest":
        rows = _repeat(graph, inputs[0], inputs[1], axis=2)
        return _repeat(graph, rows, inputs[1], axis=3)
    if name == "enlarge_bicubic":
        scales = graph.constant(np.array([1, 1, inputs[1], inputs[1]], dtype=np.float32))
        return graph.op("Resize", inputs[0], "", scales, mode="cubic", cubic_coeff_a=-0.75)
    if name == "cat":
        return graph.op("Concat", *inputs[0], axis=options["dim"])
    if "max_pool2d" in name:
        kernel, stride = [inputs[1]] * 2, [options["stride"]] * 2
        return graph.op("MaxPool", inputs[0], kernel_shape=kernel, strides=stride)
    if name == "pixel_shuffle":
        return graph.op("DepthToSpace", inputs[0], blocksize=inputs[1], mode="CRD")
    if name == "clamp_":
        return graph.op("Clip", inputs[0], *(graph.floats(limit) for limit in inputs[1:]))
    kinds = {"add": "Add", "mul": "Mul", "sub": "Sub", "sigmoid": "Sigmoid"}
    kind = kinds.get(name.removesuffix("_"))  # a graph of values has no in-place operations
    if kind is None:
        raise ValueError(f"no ONNX form is known for the operation {name or target!r}")
    return graph.op(kind, *(i if isinstance(i, str) else graph.floats(i) for i in inputs))


def _resize(graph: Graph, q: str, like: str) -> str:
    shape = graph.op("Shape", q, end=2)
    sizes = graph.op("Concat", shape, graph.op("Shape", like, start=2), axis=0)
    options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.op("Resize", q, "", "", sizes, label=STRETCH, **options)


def _repeat(graph: Graph, q: str, like: str, *, axis: int) -> str:
    """Repeat cells along one axis: position * cells // length.

    torch multiplies by the rounded cells / length, which takes another cell in at most 3 positions
    of 3 % of all sizes. OpenVINO's float division is rounded in yet another way.
    """
    cells, length = (graph.op("Shape", x, start=axis, end=axis + 1) for x in (q, like))
    zero, one = (graph.constant(np.array(n, np.int64)) for n in (0, 1))
    positions = graph.op("Range", zero, graph.op("Squeeze", length), one)
    places = graph.op("Div", graph.op("Mul", positions, cells), length)
    return graph.op("Gather", q, places, axis=axis)


def _conv(graph: Graph, x: str, conv: FusedConv) -> str:
    assert conv.bias is not None
    top, left = conv.padding
    out = graph.op(
        "Conv",
        x,
        graph.floats(conv.weight),
        graph.floats(conv.bias),
        kernel_shape=list(conv.kernel_size),
        strides=list(conv.stride),
        pads=[top, left, top, left],
        dilations=list(conv.dilation),
        group=conv.groups,
    )
    if conv.slope is not None:
        return graph.op("PRelu", out, graph.floats(conv.slope[:, None, None]))
    return _activation(graph, out, conv.activation)


def _activation(graph: Graph, x: str, name: str) -> str:
    if name == "gelu":  # runtimes recognize this pattern; the Gelu operator needs opset 20
        erf = graph.op("Erf", graph.op("Div", x, graph.floats(2**0.5)))
        twice = graph.op("Mul", x, graph.op("Add", erf, graph.floats(1.0)))
        return graph.op("Mul", twice, graph.floats(0.5))
    if name == "leaky_relu":
        return graph.op("LeakyRelu", x, alpha=SLOPE)
    if name == "relu6":
        return graph.op("Clip", x, graph.floats(0.0), graph.floats(6.0))
    if name == "silu":  # runtimes recognize this pattern, too
        return graph.op("Mul", x, graph.op("Sigmoid", x))
    return x if name == "none" else graph.op({"relu": "Relu", "sigmoid": "Sigmoid"}[name], x)


def _pad_to_minimum(graph: Graph, x: str, side: int) -> str:
    """Repeat the last row and column up to that size; larger images are unchanged."""
    if side == 1:
        return x
    size = graph.op("Shape", x, start=2)
    missing = graph.op("Sub", graph.op("Max", size, graph.integers(side, side)), size)
    pads = graph.op("Concat", graph.integers(0, 0, 0, 0, 0, 0), missing, axis=0)
    return graph.op("Pad", x, pads, mode="edge")
