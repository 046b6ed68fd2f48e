"""ONNX files of others: what upscales runs, and all else is named."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_networks import loaded, small

from lrfdn_arch.export.files import export_network
from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

Size = int | str
FREE: tuple[Size, ...] = ("n", 3, "h", "w")
FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8


def model(
    path: Path,
    scale: float | Sequence[float] = 2,
    *,
    shape: Sequence[Size] = FREE,
    inputs: int = 1,
    outputs: int = 1,
    kind: int = FLOAT,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a model that repeats pixels."""
    factors = [1, 1, scale, scale] if isinstance(scale, int | float) else scale
    scales = helper.make_tensor("scales", FLOAT, [len(factors)], factors)
    names = [f"sr{i}" for i in range(outputs)]
    nodes = [helper.make_node("Resize", ["lq0", "", "scales"], [n], mode="nearest") for n in names]
    graph = helper.make_graph(
        nodes,
        "repeats",
        [helper.make_tensor_value_info(f"lq{i}", kind, shape) for i in range(inputs)],
        [helper.make_tensor_value_info(n, kind, [f"{n}{i}" for i in shape]) for n in names],
        [scales],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, metadata or {})
    onnx.save_model(made, path)
    return path


@pytest.mark.parametrize("metadata", [{}, {"scale": "3"}, {"scale": "3.0"}])
@pytest.mark.parametrize("shape", [FREE, (1, 3, "h", "w"), ("n", "c", "h", "w")])
def test_an_upscaler_of_others_runs(
    tmp_path: Path, metadata: dict[str, str], shape: Sequence[Size]
) -> None:
    runtime = OnnxRuntime(model(tmp_path / "a.onnx", 3, shape=shape, metadata=metadata))
    assert (runtime.scale, runtime.channels) == (3, 3)
    lq = np.random.default_rng(0).random((1, 3, 5, 7), dtype=np.float32)
    np.testing.assert_array_equal(runtime(lq), lq.repeat(3, 2).repeat(3, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 2}, "it has 2 inputs and 1 outputs"),
        ({"outputs": 2}, "it has 1 inputs and 2 outputs"),
        ({"kind": UINT8}, r"it takes tensor\(uint8\), expected tensor\(float\)"),
        ({"shape": ("h", "w"), "scale": (2, 2)}, "expected .N, C, H, W. of any H and W"),
        ({"shape": (1, 3, 24, 24)}, "expected .N, C, H, W. of any H and W"),
        ({"shape": (2, 3, "h", "w")}, "ONNX Runtime fails on the image"),
        ({"scale": 1.25}, r"it makes \(1, 3, 30, 30\) of \(1, 3, 24, 24\), no whole factor"),
        ({"scale": 0.5}, "no whole factor"),
        ({"scale": (1, 1, 2, 3)}, "no whole factor"),
        ({"scale": (1, 2, 2, 2)}, "no whole factor"),
        ({"metadata": {"scale": "4"}}, "its metadata says scale 4, and it makes 2"),
        ({"metadata": {"scale": "x2"}}, "its metadata says scale x2, and it makes 2"),
    ],
)
def test_what_is_no_upscaler_is_named(
    tmp_path: Path, options: dict[str, Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=f"does not map an image .*: .*{message}") as said:
        OnnxRuntime(model(tmp_path / "foreign.onnx", **options))
    assert "foreign.onnx" in str(said.value)
    assert capfd.readouterr().err == "", "ONNX Runtime adds nothing of its own"


def needs_even_sizes(made: Any) -> None:
    made.graph.node[0].input[0] = "same"
    shapes = [("pairs", [0, 0, -1, 2]), ("whole", [1, 3, 24, -1])]
    for name, shape in shapes:
        made.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [4], shape))
    first = helper.make_node("Reshape", ["lq0", "pairs"], ["paired"])
    made.graph.node.insert(0, helper.make_node("Reshape", ["paired", "whole"], ["same"]))
    made.graph.node.insert(0, first)


def cuts_its_input(made: Any) -> None:
    made.graph.node[0].input[0] = "cut"
    for name, value in (("from", 0), ("to", 24), ("axis", 3)):
        made.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], [value]))
    slice_ = helper.make_node("Slice", ["lq0", "from", "to", "axis"], ["cut"])
    made.graph.node.insert(0, slice_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (needs_even_sizes, "ONNX Runtime fails on the image"),
        (cuts_its_input, r"makes \(1, 3, 50, 48\) of \(1, 3, 25, 27\), expected \(1, 3, 50, 54\)"),
    ],
)
def test_a_size_that_the_model_cannot_take_is_named(
    tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    path = model(tmp_path / "a.onnx")
    made = onnx.load(path)
    change(made)
    onnx.save_model(made, path)
    runtime = OnnxRuntime(path)
    with pytest.raises(ValueError, match=message):
        runtime(np.zeros((1, 3, 25, 27), np.float32))


def test_a_scale_that_is_not_ours_any_more_is_named(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    export_network("onnx", loaded(small("LRFDN")), path)
    made = onnx.load(path)
    helper.set_model_props(made, {"scale": "3"})
    onnx.save_model(made, path)
    with pytest.raises(ValueError, match="its metadata says scale 3, and it makes 2"):
        OnnxRuntime(path)


def test_weights_beside_a_model_are_read_and_none_outside_of_its_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "models", tmp_path / "weights.bin"
    folder.mkdir()
    made = onnx.load(model(folder / "a.onnx"))
    scales = made.graph.initializer[0]
    content = numpy_helper.to_array(scales).tobytes()
    scales.ClearField("float_data")

    def open_with(weights: str) -> OnnxRuntime:
        scales.ClearField("external_data")
        scales.data_location = TensorProto.EXTERNAL
        scales.external_data.add(key="location", value=weights)
        (folder / "a.onnx").write_bytes(made.SerializeToString())
        return OnnxRuntime(folder / "a.onnx")

    for file in (folder / "weights.bin", outside):
        file.write_bytes(content)
    assert open_with("weights.bin").scale == 2
    for location in ("../weights.bin", str(outside)):
        with pytest.raises(ValueError, match=r"cannot read .*a\.onnx"):
            open_with(location)


def test_a_graph_that_never_ends_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrfdn_arch.inference.onnx_runtime._MOST_SECONDS", 1.0)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still_going"]),
            helper.make_node("Add", ["image", "image"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("image", FLOAT, FREE),
        ],
        [
            helper.make_tensor_value_info("still_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOAT, FREE),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "true", "lq"], ["sr"], body=body)],
        "endless",
        [helper.make_tensor_value_info("lq", FLOAT, FREE)],
        [helper.make_tensor_value_info("sr", FLOAT, FREE)],
        [helper.make_tensor("true", TensorProto.BOOL, [], [True])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(made, tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"does not map an image to a larger one.*fails"):
        OnnxRuntime(tmp_path / "a.onnx")
