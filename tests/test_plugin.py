"""The plugin contract: what `import lrfdn_arch` does, and what it does not."""

import subprocess
import sys
from types import ModuleType

import pytest

import lrfdn_arch
from lrfdn_arch import plugin

NETWORK_NAMES = [
    *("LRFDN", "LRFDB", "SRB", "EFSA", "RFDN", "RFDB", "ESA", "RLFN", "RLFB", "EFDN", "EFDB"),
    *("SPAN", "SPAB", "MAFFSRN", "MAB", "FFG", "RFANet", "RFA"),
]


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_the_package_imports_neither_torch_nor_basicsr() -> None:
    loaded = python("import sys, lrfdn_arch; print(*sys.modules)").split()
    heavy = {"torch", "torchvision", "basicsr", "numpy", "cv2"}
    assert not heavy & set(loaded)


@pytest.mark.slow  # other processes would be in its way
def test_importing_the_package_costs_a_few_hundredths_of_a_second() -> None:
    # It takes 5 to 10 ms on a quiet machine; the best of five tries.
    timed = (
        "import time; t = time.perf_counter(); import lrfdn_arch; print(time.perf_counter() - t)"
    )
    assert min(float(python(timed)) for _ in range(5)) < 0.03


def test_basicsr_imported_afterwards_builds_every_block_and_network() -> None:
    code = f"""
import lrfdn_arch, basicsr
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
print(sum(p.numel() for p in build_network({{'type': 'LRFDN'}}).parameters()))
print(*[name for name in {NETWORK_NAMES} if name in ARCH_REGISTRY])
"""
    parameters, names = python(code).strip().splitlines()[-2:]
    assert parameters == "198032"
    assert names.split() == NETWORK_NAMES


@pytest.mark.slow
def test_basicsr_imported_before_is_served_at_once() -> None:
    # Python cannot import BasicSR first where torchvision lacks the old module: supplied by hand
    # here, as an older torchvision or another plugin does.
    code = """
import sys, types
from torchvision.transforms.functional import rgb_to_grayscale
name = 'torchvision.transforms.functional_tensor'
sys.modules[name] = types.ModuleType(name)
sys.modules[name].rgb_to_grayscale = rgb_to_grayscale
import basicsr, lrfdn_arch
from basicsr.archs import build_network
print(type(build_network({'type': 'RFDN'})).__module__)
"""
    assert python(code).split()[-1] == "lrfdn_arch.archs.rfdn_arch"


@pytest.mark.slow
def test_the_model_can_be_imported_by_itself() -> None:
    code = (
        "from lrfdn_arch.training.model.lrfdn_model import LRFDNModel; print(LRFDNModel.__name__)"
    )
    assert python(code).split()[-1] == "LRFDNModel"


class FakeRegistry(dict[str, object]):
    """BasicSR's registry as far as the plugin uses it: iterates over pairs, refuses duplicates."""

    def __iter__(self):  # type: ignore[override]
        return iter(self.items())

    def register(self, obj: type) -> None:
        assert obj.__name__ not in self.keys()
        self[obj.__name__] = obj


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("basicsr.utils.registry")
    module.ARCH_REGISTRY = FakeRegistry()  # type: ignore[attr-defined]
    # The networks alone: the training model's module imports the real BasicSR.
    monkeypatch.setattr(plugin, "OTHERS", ())
    monkeypatch.setitem(sys.modules, "basicsr.utils.registry", module)
    return module


def test_registering_twice_is_harmless(registries: ModuleType) -> None:
    plugin.register()
    before = list(registries.ARCH_REGISTRY)
    plugin.register()
    assert list(registries.ARCH_REGISTRY) == before
    assert {name for name, _ in before} >= set(NETWORK_NAMES)


def test_a_name_owned_by_somebody_else_is_a_clear_error(registries: ModuleType) -> None:
    registries.ARCH_REGISTRY["RFDN"] = type("RFDN", (), {"__module__": "their.networks"})
    with pytest.raises(ValueError, match=r"already has 'RFDN' from their\.networks"):
        plugin.register()


def test_installing_twice_adds_nothing() -> None:
    before = list(sys.meta_path)
    plugin.install()
    lrfdn_arch.compat.install()
    assert sys.meta_path == before
