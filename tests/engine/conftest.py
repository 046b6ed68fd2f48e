"""What tests of training runs share."""

from pathlib import Path

import pytest
import torch
from training_runs import make_images

from lrfdn_arch.engine import summary, training


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny images, see `training_runs.make_images`."""
    folder = tmp_path_factory.mktemp("data")
    make_images(folder)
    return folder


@pytest.fixture
def plain_runs(monkeypatch: pytest.MonkeyPatch):
    """Runs on one thread that neither count operations nor draw curves: a second each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(summary, "_network", lambda options, network: "not counted")
    monkeypatch.setattr(training, "draw_curves", lambda *_: False)
    yield
    torch.set_num_threads(before)
