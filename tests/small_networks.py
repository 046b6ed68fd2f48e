"""Small networks with weights that matter, and released ones where they are at hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from repository import RELEASED
from torch import Tensor, nn

from lrfdn_arch import device
from lrfdn_arch.archs import ARCHITECTURES, architecture_of
from lrfdn_arch.weights import LoadedNetwork, load_network, network_from_state

FUSED = [name for name, record in ARCHITECTURES.items() if record.fuse]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def unchanged_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command changes how its process gives memory back; other tests measure memory."""
    monkeypatch.setattr(device, "keep_freed_memory", lambda: True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LRFDN_WEIGHTS", raising=False)


def small(name: str, **options: Any) -> Any:
    """A network of 8 channels and, where that is free, 2 blocks; the same one each time."""
    torch.manual_seed(7)
    sizes = {"num_feat": 8, "num_block": 2, "upscale": 2}
    record = ARCHITECTURES[name]
    known = {key: value for key, value in sizes.items() if key in record.parameters}
    return record.build({**known, **options}).eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file with the small LRFDN's weights, x2."""
    path = tmp_path / "small.pth"
    torch.save(small("LRFDN").state_dict(), path)
    return path


def released(shared: Path, name: str) -> nn.Module:
    return load_network(shared / "reference" / RELEASED[name]).network


def loaded(network: nn.Module) -> LoadedNetwork:
    """A copy of a network of the package, as a file of its weights would be loaded."""
    record = architecture_of(network)
    assert record is not None
    options = {"type": record.name, **record.arguments_of(network)}
    return network_from_state(network.state_dict(), network_g=options)


def photo(shared: Path, name: str) -> Tensor:
    """An image of Set5's LR x4 as (1, 3, H, W) in [0, 1]."""
    path = shared / "data" / "Set5" / "LR_bicubic" / "X4" / f"{name}x4.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]
