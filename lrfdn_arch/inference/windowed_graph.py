"""Writing ONNX graphs, and the variant of a graph that knows a tile's position in its image.

Nothing here needs torch: a stored graph is enough to upscale in exact tiles.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lrfdn_arch.inference.runtimes import Floats
from lrfdn_arch.window import MIN_SIZE, Window, sources

FLOAT32, INT64, FLOAT16 = 1, 7, 10  # of onnx.TensorProto
STRETCH = "stretch"  # begins the names of nodes that stretch the attention's map over the image
_AXES = ("row", "column")
_KINDS = {"first": INT64, "second": INT64, "share": FLOAT32}


class Graph:
    """Nodes and constants in the order of the calls; every method returns the name of a value.

    Args:
        half: store floating-point constants in float16.
        prefix: of the names, unique within a model.
    """

    def __init__(self, half: bool, prefix: str = "") -> None:
        from onnx import helper, numpy_helper

        self._make_node = helper.make_node
        self._from_array = numpy_helper.from_array
        self.half = half
        self._prefix = prefix
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def op(
        self, kind: str, *inputs: str, name: str = "", label: str = "", **attributes: Any
    ) -> str:
        """Add a node; ``name`` is its value's, ``label`` begins its own."""
        name = name or f"{self._prefix}{kind.lower()}_{len(self.nodes)}"
        label = label and f"{label}_{len(self.nodes)}"  # node names are unique
        self.nodes.append(self._make_node(kind, list(inputs), [name], name=label, **attributes))
        return name

    def floats(self, values: ArrayLike) -> str:
        """Add a floating-point constant."""
        return self.constant(np.asarray(values, np.float16 if self.half else np.float32))

    def integers(self, *values: int) -> str:
        """Add a vector of int64."""
        return self.constant(np.array(values, dtype=np.int64))

    def constant(self, array: Any) -> str:
        """Add a numpy array."""
        name = f"{self._prefix}constant_{len(self.initializers)}"
        self.initializers.append(self._from_array(np.ascontiguousarray(array), name))
        return name


def with_windows(model: bytes) -> bytes:
    """Return ``model`` with six more inputs, see :func:`window_inputs`, for its stretch nodes.

    Args:
        model: from :func:`lrfdn_arch.inference.onnx_graph.build_model`.
    """
    import onnx

    made = onnx.load_model_from_string(model)
    half = any(constant.data_type == FLOAT16 for constant in made.graph.initializer)
    graph = Graph(half, prefix="window_")
    for node in made.graph.node:
        if node.name.startswith(STRETCH):
            # Columns first: gathering them copies value by value, gathering rows copies whole rows.
            columns = _stretch(graph, node.input[0], "column", axis=3)
            _stretch(graph, columns, "row", axis=2, name=node.output[0])
        else:
            graph.nodes.append(node)
    nodes = list(graph.nodes)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(graph.initializers)
    made.graph.input.extend(
        onnx.helper.make_tensor_value_info(f"{kind}_{axis}", number, [f"padded_{axis}s"])
        for axis in _AXES
        for kind, number in _KINDS.items()
    )
    return made.SerializeToString()


def _stretch(graph: Graph, q: str, axis_name: str, *, axis: int, name: str = "") -> str:
    share = f"share_{axis_name}"
    if graph.half:
        share = graph.op("Cast", share, to=FLOAT16)
    if axis == 2:
        share = graph.op("Unsqueeze", share, graph.integers(1))  # (rows, 1)
    first = graph.op("Gather", q, f"first_{axis_name}", axis=axis)
    second = graph.op("Gather", q, f"second_{axis_name}", axis=axis)
    return graph.op("Add", first, graph.op("Mul", graph.op("Sub", second, first), share), name=name)


def window_inputs(lq: Floats, window: Window) -> dict[str, Any]:
    """Return the additional inputs of a graph with windows, numpy arrays by name.

    They are "first_row", "second_row", "share_row" and the same for columns, the values of
    :func:`lrfdn_arch.window.sources`.
    """
    height, width = (max(MIN_SIZE, size) for size in lq.shape[-2:])
    rows = sources(window.top, height, max(MIN_SIZE, window.height))
    columns = sources(window.left, width, max(MIN_SIZE, window.width))
    types = (np.int64, np.int64, np.float32)
    return {
        f"{kind}_{axis}": np.array(values, dtype)
        for axis, three in zip(_AXES, (rows, columns), strict=True)
        for kind, values, dtype in zip(_KINDS, three, types, strict=True)
    }
