"""The command that checks and measures a CUDA machine, rehearsed on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import REPOSITORY


def gpu_day(out: Path) -> subprocess.CompletedProcess[str]:
    file = REPOSITORY / "benchmarks/gpu_day.py"
    command = [sys.executable, str(file), "--rehearse", "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_all_parts_run_once_and_are_tabulated(tmp_path: Path) -> None:
    first = gpu_day(tmp_path)
    assert first.returncode == 0, first.stderr[-2000:]
    parts = {file.stem: json.loads(file.read_text()) for file in tmp_path.glob("*.json")}
    assert set(parts) == {
        "environment",
        "correctness",
        "training",
        "loader",
        "profile",
        "inference",
        "kit",
    }
    assert all(parts.values())
    checked = {what: measured for what, measured, _ in parts["correctness"]}
    assert checked["resumed bit for bit under deterministic"] == "yes"
    assert checked["a group of one process trains the same"] == "yes"
    assert checked["resumed from the CPU"] == "0.0e+00", "the CPU is the device"
    again = gpu_day(tmp_path)
    assert "..." not in again.stdout, "nothing is repeated"
    assert "| inference, onnx fp32 " in again.stdout
