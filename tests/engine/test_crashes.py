"""SIGKILL at random moments: whatever was on the disk, --auto_resume ends with the same weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed_runs.py")


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_to_the_same_weights(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "20"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    trials = json.loads(result.stdout.splitlines()[-1])
    assert len(trials) == 20
    for trial in trials:
        assert trial["resumed"] == 0 and not trial["differing"] and not trial["left_over"], trials
    assert len({trial["reached"] for trial in trials}) >= 5, "the kills came at the same moment"
