"""The real spandrel loads our weights by its own conventions."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spandrel
import torch
from repository import RELEASED, REPOSITORY
from small_networks import small

from lrfdn_arch.archs import ARCHITECTURES
from lrfdn_arch.cli import main
from lrfdn_arch.export.files import export
from lrfdn_arch.export.spandrel import install
from lrfdn_arch.weights import load_network


@pytest.fixture
def registry() -> spandrel.ArchRegistry:
    registry = spandrel.ArchRegistry()
    for support in spandrel.MAIN_REGISTRY.architectures():
        registry.add(support)
    install(registry)
    install(registry)  # harmless
    return registry


@torch.no_grad()
@pytest.mark.parametrize(("name", "scale"), [("LRFDN", 2), ("LRFDN", 4), ("RFDN", 3)])
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_load_and_compute(
    tmp_path: Path, registry: spandrel.ArchRegistry, name: str, scale: int, wrapped: bool
) -> None:
    network, path = small(name, upscale=scale), tmp_path / "net_g.pth"
    state = network.state_dict()
    torch.save({"params_ema": state} if wrapped else state, path)
    model = spandrel.ModelLoader("cpu", registry=registry).load_from_file(path)
    assert isinstance(model, spandrel.ImageModelDescriptor)
    assert (model.architecture.id, model.scale, model.purpose) == (name, scale, "SR")
    assert (model.input_channels, model.output_channels) == (3, 3)
    assert model.size_requirements.check(1, 1)
    for size in ((1, 3), (24, 20)):
        lq = torch.rand(1, 3, *size)
        torch.testing.assert_close(model(lq), network(lq).clamp(0, 1))


def test_our_weights_are_ours_alone_and_theirs_stay_theirs(
    registry: spandrel.ArchRegistry,
) -> None:
    for name in ARCHITECTURES:
        state = small(name).state_dict()
        claims = [s.architecture.id for s in registry.architectures() if s.detect(state)]
        assert claims == ["SPAN-lrfdn" if name == "SPAN" else name]
    assert not [
        s for s in registry.architectures() if s.detect({}) and s.architecture.id == "LRFDN"
    ]


@torch.no_grad()
def test_span_with_its_training_branches_is_loaded_by_spandrel(
    tmp_path: Path, registry: spandrel.ArchRegistry
) -> None:
    from spandrel.architectures.SPAN import SPAN

    torch.save(
        SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2).state_dict(),
        tmp_path / "span.pth",
    )
    model = spandrel.ModelLoader("cpu", registry=registry).load_from_file(tmp_path / "span.pth")
    assert model.architecture.id == "SPAN"
    loaded = load_network(tmp_path / "span.pth")
    lq = torch.rand(1, 3, 16, 16)
    assert loaded.scale == 2
    torch.testing.assert_close(loaded.network(lq), model(lq))


@pytest.mark.parametrize("name", RELEASED)
def test_released_weights_load(shared: Path, registry: spandrel.ArchRegistry, name: str) -> None:
    loader = spandrel.ModelLoader("cpu", registry=registry)
    model = loader.load_from_file(shared / "reference" / RELEASED[name])
    assert (model.architecture.id.removesuffix("-lrfdn"), model.scale) == (name, 4)


@torch.no_grad()
def test_an_unusual_img_range_survives_an_export(
    tmp_path: Path, registry: spandrel.ArchRegistry
) -> None:
    network = small("LRFDN", img_range=255)
    content = {"params": network.state_dict(), "network_g": {"type": "LRFDN", "img_range": 255.0}}
    torch.save(content, tmp_path / "net_g.pth")
    (out,) = export("safetensors", str(tmp_path / "net_g.pth"), tmp_path / "a.safetensors")
    model = spandrel.ModelLoader("cpu", registry=registry).load_from_file(out)
    assert isinstance(model, spandrel.ImageModelDescriptor)
    lq = torch.rand(1, 3, 20, 24)
    torch.testing.assert_close(model(lq), network(lq).clamp(0, 1), atol=1e-5, rtol=1e-5)


def test_spandrels_own_registry_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    own = spandrel.ArchRegistry()
    monkeypatch.setattr(spandrel, "MAIN_REGISTRY", own)
    install()
    assert [s.architecture.id for s in own.architectures()] == list(ARCHITECTURES)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["lrfdn_arch", "spandrel"])
def test_importing_the_package_is_enough(first: str) -> None:
    code = f"import {first}, lrfdn_arch, spandrel; print('LRFDN' in spandrel.MAIN_REGISTRY)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.slow
@torch.no_grad()
def test_the_patch_in_the_docs_makes_spandrel_load_lrfdn(tmp_path: Path) -> None:
    """In a copy of the installed spandrel, without this package."""
    page = (REPOSITORY / "docs/spandrel.md").read_text(encoding="utf-8").partition("## A patch")[2]
    init, registry, _test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    copy = tmp_path / "spandrel"
    shutil.copytree(Path(spandrel.__file__).parent, copy)
    folder = copy / "architectures/LRFDN"
    (folder / "__arch").mkdir(parents=True)
    (folder / "__arch/__init__.py").touch()
    (folder / "__init__.py").write_text(init)
    kit = ["submit", "--kit", "--team", "0", "--model", "LRFDN=lrfdn_x4", "--out"]
    assert main([*kit, str(tmp_path / "kit")]) == 0
    source = (tmp_path / "kit/models/team00_LRFDN.py").read_text()
    head, network = source.split("class LRFDN(")
    use = "from spandrel.util import store_hyperparameters"
    head = head.replace("import torch\n", f"import torch\n{use}\n")
    body = network.replace("    def __init__", "    hyperparameters = {}\n\n    def __init__", 1)
    body = body.replace("        self,\n", "        self,\n        *,\n", 1)
    source = f"{head}@store_hyperparameters()\nclass LRFDN({body}"
    (folder / "__arch/lrfdn.py").write_text(source)
    main_registry = copy / "__helpers/main_registry.py"
    text = main_registry.read_text().replace("    LaMa,\n", "    LRFDN,\n    LaMa,\n", 1)
    main_registry.write_text(text + registry)
    network = small("LRFDN", upscale=3)
    lq = torch.rand(1, 3, 9, 20)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    torch.save(lq, tmp_path / "lq.pt")
    code = (
        "import sys, torch, spandrel\n"
        "model = spandrel.ModelLoader('cpu').load_from_file('net.pth')\n"
        "torch.save(model(torch.load('lq.pt')), 'sr.pt')\n"
        "assert not [name for name in sys.modules if name.startswith('lrfdn_arch')]\n"
        "print(model.architecture.id, model.scale, model.tags, model.model.hyperparameters)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("LRFDN 3 ['8nf', '2nb'] {'num_in_ch': 3, "), done.stderr
    torch.testing.assert_close(torch.load(tmp_path / "sr.pt"), network(lq).clamp(0, 1))


def test_without_spandrel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrfdn_arch.extras.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"lrfdn-arch\[spandrel\]"):
        install()
