"""Exported files compute what the network computes, say what they are, and are checked."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from small_networks import FUSED, loaded, small

from lrfdn_arch import __version__, entry
from lrfdn_arch.cli import main
from lrfdn_arch.export import files as exports
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.weights import load_network, read_metadata

SIZES = [(1, 1), (14, 31), (24, 40)]


@torch.no_grad()
@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(("half", "bound"), [(False, 2e-5), (True, 2e-2)])
def test_onnx_at_any_size(tmp_path: Path, name: str, half: bool, bound: float) -> None:
    network, path = small(name), tmp_path / "small.onnx"
    exports.export_onnx(loaded(network), path, half=half, licence="MIT")
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
    exports.export_onnx(loaded(small("LRFDN")), tmp_path / "a.onnx")
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
    monkeypatch.setattr(exports, "fuse", lambda network: wrong)
    with pytest.raises(ValueError, match=r"differs from torch by .* so it was not kept"):
        exports.export_onnx(loaded(small("LRFDN")), path)
    assert not list(tmp_path.iterdir())


@torch.no_grad()
@pytest.mark.parametrize("name", FUSED)
def test_torchscript_at_any_size(tmp_path: Path, name: str) -> None:
    network, path = small(name), tmp_path / "small.pt"
    exports.export_torchscript(loaded(network), path)
    extra = {"metadata.json": ""}
    module = torch.jit.load(str(path), _extra_files=extra)
    for size in SIZES:
        lq = torch.rand(2, 3, *size)
        torch.testing.assert_close(module(lq), network(lq), atol=2e-5, rtol=1e-5)
    assert json.loads(extra["metadata.json"])["architecture"] == name


def test_safetensors_go_round(tmp_path: Path) -> None:
    network, path = small("RFDN"), tmp_path / "small.safetensors"
    exports.export_safetensors(loaded(network), path, licence="MIT")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()  # others may read it
    again = load_network(path).network.state_dict()
    assert not [k for k, v in network.state_dict().items() if not torch.equal(v, again[k])]
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert (metadata["architecture"], metadata["scale"], metadata["format"]) == ("RFDN", "2", "pt")
    assert metadata["licence"] == "MIT"


def test_fused_weights_are_the_fused_networks(tmp_path: Path) -> None:
    fused, path = fuse(small("LRFDN")), tmp_path / "fused.safetensors"
    exports.export_fused(loaded(small("LRFDN")), path)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(fused.state_dict())
        assert file.metadata()["fused"] == "1"
        assert torch.equal(file.get_tensor("c.weight"), fused.c.weight)


@pytest.mark.parametrize("kind", ["onnx", "torchscript", "safetensors", "fused"])
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
    assert "exists: give another" in capsys.readouterr().err
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
    exports.export_safetensors(own, tmp_path / "own.safetensors", licence="MIT")
    command = ["export", kind, "--weights", "own.safetensors", "--out"]
    suffix = {"onnx": ".onnx", "torchscript": ".pt"}.get(kind, ".safetensors")
    assert entry.run(main, [*command, f"a{suffix}"]) == 0
    found = said_by(tmp_path / f"a{suffix}")
    assert found["licence"] == "MIT"
    assert found["source"] == f"lrfdn-arch {__version__}, from own.safetensors"
    assert entry.run(main, [*command, f"b{suffix}", "--licence", "BSD"]) == 0
    assert said_by(tmp_path / f"b{suffix}")["licence"] == "BSD"


def test_a_folder_as_out_is_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "onnx", "--weights", str(weights), "--out", str(tmp_path), "--overwrite"]
    assert entry.run(main, command) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} is a folder: give --out FILE\n"
    assert entry.run(main, [*command, "--out", "."]) == 2
    assert capsys.readouterr().err == "error: . is a folder: give --out FILE\n"


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])  # of small networks, above 20 kB
def test_a_full_disk_is_one_line_and_leaves_nothing(
    weights: Path,
    tmp_path: Path,
    small_files_only: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    out = tmp_path / "out" / "network"
    out.parent.mkdir()
    small_files_only()
    assert entry.run(main, ["export", kind, "--weights", str(weights), "--out", str(out)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ") and str(out.parent) in said
    assert not list(out.parent.iterdir())
