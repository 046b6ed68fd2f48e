"""Exported files compute what the network computes, say what they are, and are checked."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from small_networks import FUSED, loaded, small
from torch import Tensor, nn

from lrfdn_arch import __version__, entry
from lrfdn_arch.archs import Architecture
from lrfdn_arch.cli import main
from lrfdn_arch.export import files, graphs
from lrfdn_arch.export.files import export_network
from lrfdn_arch.extras import is_installed
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.weights import LoadedNetwork, load_network, read_metadata

needs_ncnn = pytest.mark.skipif(
    not (is_installed("ncnn") and is_installed("pnnx")),
    reason="needs the packages ncnn and pnnx, of the extra ncnn",
)
SIZES = [(1, 1), (14, 31), (24, 40)]


@torch.no_grad()
@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(("half", "bound"), [(False, 2e-5), (True, 2e-2)])
def test_onnx_at_any_size(tmp_path: Path, name: str, half: bool, bound: float) -> None:
    network, path = small(name), tmp_path / "small.onnx"
    export_network("onnx", loaded(network), path, half=half, licence="MIT")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in SIZES:
        lq = torch.rand(2, 3, *size)
        (sr,) = session.run(None, {"lq": lq.numpy()})
        torch.testing.assert_close(torch.from_numpy(sr), network(lq), atol=bound, rtol=bound)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["architecture"] == name
    assert (metadata["scale"], metadata["opset"], metadata["licence"]) == ("2", "17", "MIT")
    assert metadata["precision"] == ("fp16" if half else "fp32")
    assert "[0, 1]" in metadata["input"]
    assert metadata["source"].startswith("lrfdn-arch ")


def umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def test_onnx_opset_and_dynamic_axes(tmp_path: Path) -> None:
    export_network("onnx", loaded(small("LRFDN")), tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dimensions] == ["batch", 3, "height", "width"]


def test_an_export_that_is_wrong_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wrong.onnx"
    wrong = fuse(small("LRFDN"))
    wrong.fea_conv.weight.mul_(1.5)
    monkeypatch.setattr(graphs, "fuse", lambda network: wrong)
    with pytest.raises(ValueError, match=r"differs from torch by .* so it was not kept"):
        export_network("onnx", loaded(small("LRFDN")), path)
    assert not list(tmp_path.iterdir())


@torch.no_grad()
@pytest.mark.parametrize("name", FUSED)
def test_torchscript_at_any_size(tmp_path: Path, name: str) -> None:
    network, path = small(name), tmp_path / "small.pt"
    export_network("torchscript", loaded(network), path)
    extra = {"metadata.json": ""}
    module = torch.jit.load(str(path), _extra_files=extra)
    for size in SIZES:
        lq = torch.rand(2, 3, *size)
        torch.testing.assert_close(module(lq), network(lq), atol=2e-5, rtol=1e-5)
    assert json.loads(extra["metadata.json"])["architecture"] == name


def test_safetensors_go_round(tmp_path: Path) -> None:
    network, path = small("RFDN"), tmp_path / "small.safetensors"
    export_network("safetensors", loaded(network), path, licence="MIT")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()  # others may read it
    again = load_network(path).network.state_dict()
    assert not [k for k, v in network.state_dict().items() if not torch.equal(v, again[k])]
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert (metadata["architecture"], metadata["scale"], metadata["format"]) == ("RFDN", "2", "pt")
    assert metadata["licence"] == "MIT"


def test_fused_weights_are_the_fused_networks(tmp_path: Path) -> None:
    fused, path = fuse(small("LRFDN")), tmp_path / "fused.safetensors"
    export_network("fused", loaded(small("LRFDN")), path)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(fused.state_dict())
        assert file.metadata()["fused"] == "1"
        assert torch.equal(file.get_tensor("c.weight"), fused.c.weight)


@torch.no_grad()
@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(("half", "bound"), [(False, 2e-5), (True, 2e-2)])
def test_openvino_at_any_size(tmp_path: Path, name: str, half: bool, bound: float) -> None:
    import openvino

    network = small(name)
    xml, _ = export_network("openvino", loaded(network), tmp_path / "a.xml", half=half)
    model = openvino.Core().read_model(xml)
    assert str(model.input("lq").partial_shape) == "[?,3,?,?]"
    run = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in SIZES:
        lq = torch.rand(2, 3, *size)
        sr = torch.from_numpy(run(lq.numpy())["sr"])
        torch.testing.assert_close(sr, network(lq), atol=bound, rtol=bound)


@needs_ncnn
@torch.no_grad()
@pytest.mark.parametrize("name", FUSED)
def test_ncnn_takes_rgb_as_upscayl_feeds_it(tmp_path: Path, name: str) -> None:
    import ncnn

    network = small(name)
    param, weights = export_network("ncnn", loaded(network), tmp_path / "a.param")
    text = param.read_text()
    assert text.startswith("7767517\n")
    assert '="' not in text, "expressions, which older versions of ncnn cannot read"
    net = ncnn.Net()
    net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    assert (net.load_param(str(param)), net.load_model(str(weights))) == (0, 0)
    for height, width in ((21, 33), (48, 26)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        pixels = ncnn.Mat.from_pixels(image, ncnn.Mat.PixelType.PIXEL_RGB, width, height)
        pixels.substract_mean_normalize([], [1 / 255] * 3)
        extractor = net.create_extractor()
        extractor.input("data", pixels)
        _, found = extractor.extract("output")
        expected = network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0]
        bound = 1e-4 * max(1.0, float(expected.abs().max()))
        sr = torch.from_numpy(np.array(found))
        torch.testing.assert_close(sr, expected, atol=bound, rtol=0)


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


@needs_ncnn
def test_what_ncnn_cannot_express_is_named(tmp_path: Path) -> None:
    bessel = LoadedNetwork(Bessel(), Architecture("Bessel", Bessel), {}, 1, 3)
    with pytest.raises(ValueError, match=r"Bessel.* has no form in ncnn: it contains .*bessel"):
        export_network("ncnn", bessel, tmp_path / "a.param")
    assert not list(tmp_path.iterdir())


def test_without_ncnn_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrfdn_arch.extras.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"package pnnx.*lrfdn-arch\[ncnn\]"):
        export_network("ncnn", loaded(small("LRFDN")), tmp_path / "a.param")


def test_two_files_have_the_endings_that_other_programs_expect(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"--out a\.zip: expected a name that ends in \.xml"):
        main(["export", "openvino", "--weights", str(weights), "--out", "a.zip"])
    Path("a.bin").touch()
    with pytest.raises(FileExistsError, match=r"a\.bin exists"):
        main(["export", "openvino", "--weights", str(weights), "--out", "a.xml"])


@needs_ncnn
def test_the_name_for_ncnn_contains_the_scale(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "ncnn", "--weights", str(weights)]) == 0
    assert {file.name for file in tmp_path.glob("small_*")} == {"small_x2.param", "small_x2.bin"}


@pytest.mark.parametrize("kind", ["onnx", "openvino", "torchscript", "safetensors", "fused"])
def test_the_command_writes_every_kind_and_never_over_another(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["export", kind, "--weights", str(weights)]
    assert entry.run(main, command) == 0
    made = Path(capsys.readouterr().out.split(" (")[0])
    assert made.stat().st_size > 1000
    assert entry.run(main, command) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert entry.run(main, [*command, "--overwrite"]) == 0


def test_weights_of_a_stranger_are_not_exported(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    arguments = ["export", "onnx", "--weights", str(tmp_path / "other.pth")]
    assert entry.run(main, [*arguments, "--out", str(tmp_path / "x.onnx")]) == 2
    assert not (tmp_path / "x.onnx").exists()


def said_by(path: Path) -> dict[str, str]:
    if path.suffix == ".onnx":
        properties = onnx.load(path).metadata_props
        return {one.key: one.value for one in properties}
    if path.suffix == ".pt":
        extra = {"metadata.json": ""}
        torch.jit.load(str(path), _extra_files=extra)
        return json.loads(extra["metadata.json"])
    return read_metadata(path)


@pytest.mark.parametrize("kind", ["onnx", "torchscript", "safetensors", "fused"])
def test_an_export_keeps_the_licence_and_names_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    own = loaded(small("LRFDN"))
    export_network("safetensors", own, tmp_path / "own.safetensors", licence="MIT")
    command = ["export", kind, "--weights", "own.safetensors", "--out"]
    suffix = {"onnx": ".onnx", "torchscript": ".pt"}.get(kind, ".safetensors")
    assert entry.run(main, [*command, f"a{suffix}"]) == 0
    found = said_by(tmp_path / f"a{suffix}")
    assert found["licence"] == "MIT"
    assert found["source"] == f"lrfdn-arch {__version__}, from own.safetensors"
    assert "team 30" in found["papers"]
    assert entry.run(main, [*command, f"b{suffix}", "--licence", "BSD"]) == 0
    assert said_by(tmp_path / f"b{suffix}")["licence"] == "BSD"


def test_a_folder_as_out_is_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "onnx", "--weights", str(weights), "--out", str(tmp_path), "--overwrite"]
    assert entry.run(main, command) == 2
    advice = "is a folder; expected the name of a file"
    assert capsys.readouterr().err == f"error: {tmp_path} {advice}\n"
    assert entry.run(main, [*command, "--out", "."]) == 2
    assert capsys.readouterr().err == f"error: . {advice}\n"


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])  # of small networks, above 20 kB
def test_a_full_disk_is_one_line_and_leaves_nothing(
    weights: Path,
    tmp_path: Path,
    small_files_only: Callable[[], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    out = tmp_path / "out" / "network"
    out.parent.mkdir()
    command = ["export", kind, "--weights", str(weights), "--out", str(out)]
    with small_files_only():
        assert entry.run(main, command) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ") and str(out.parent) in said
    assert not list(out.parent.iterdir())


def test_the_file_that_is_opened_first_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(files, "write_whole", lambda path, content: written.append(path.name))
    export_network("openvino", loaded(small("LRFDN")), tmp_path / "a.xml")
    assert written == ["a.bin", "a.xml"]
