"""What tests share: where the released weights and Set5 are, if they are here at all."""

import os
from pathlib import Path

import pytest
from repository import REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with reference/ (released weights) and data/Set5: LRFDN_SHARED, or ../shared."""
    folder = Path(os.environ.get("LRFDN_SHARED") or REPOSITORY.parent / "shared")
    if not (folder / "reference").is_dir():
        pytest.skip(f"no released weights and images at {folder}; set LRFDN_SHARED to their folder")
    return folder
