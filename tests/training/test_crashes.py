"""SIGKILL at random moments: whatever was on the disk, --auto_resume ends with the same weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repository import REPOSITORY
from training_runs import make_images, options, write

SCRIPT = Path(__file__).with_name("killed_runs.py")
PATHS = os.pathsep.join(map(str, (SCRIPT.parents[1], REPOSITORY)))
ENVIRONMENT = os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_to_the_same_weights(tmp_path):
    result = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "20"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    trials = json.loads(result.stdout.splitlines()[-1])
    assert len(trials) == 20
    for trial in trials:
        assert trial["steps_after"] == list(range(trial["reached"] + 1, 17)), "it began anew"
        assert trial["resumed"] == 0 and not trial["differing"] and not trial["left_over"], trials
    assert len({trial["reached"] for trial in trials}) >= 5, "the kills came at the same moment"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_of_processes_saves(tmp_path, number):
    make_images(tmp_path)
    opt = options(
        tmp_path,
        train__total_iter=100_000,
        train__scheduler={"type": "ConstantLR"},
        datasets__train__num_worker_per_gpu=2,
        val=None,
    )
    start = (
        "import sys; from pathlib import Path; from lrfdn_arch.commands.train import main; "
        f"sys.exit(main(sys.argv[1:], root=Path({str(tmp_path)!r})))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, "-opt", str(write(opt, tmp_path / "o.yml"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    log, deadline = tmp_path / "experiments/run/metrics.jsonl", time.monotonic() + 120
    while not (log.is_file() and log.read_text().count("\n") > 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as torchrun, timeout, slurm and terminals do
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    states = [int(p.stem) for p in tmp_path.glob("experiments/run/training_states/*.state")]
    assert states and f"stopped after iteration {max(states):,};" in said


@pytest.fixture(scope="module")
def killed_workers(tmp_path_factory) -> dict:
    script = SCRIPT.with_name("killed_workers.py")
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("workers")), "10"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_killed_data_worker_ends_the_run_after_saving_it(killed_workers):
    for trial in killed_workers["trials"]:
        if trial["code"] == 0:
            continue  # every batch had been made
        assert trial["code"] == 2 and trial["seconds"] < 20, trial
        assert (
            f"worker process {trial['victim']} was ended by SIGKILL, most likely" in trial["said"]
        )
        assert "Traceback" not in trial["said"], trial["said"]
        assert trial["saved"] == trial["trained"]
        assert trial["resumed"] == 0 and not trial["differing"], trial
    assert sum(trial["code"] != 0 for trial in killed_workers["trials"]) >= 5


@pytest.mark.slow
def test_a_second_run_of_a_name_learns_who_holds_it(killed_workers):
    second = killed_workers["second"]
    assert second["codes"] == [2, 2] and second["untouched"]
    lines = second["said"].splitlines()
    assert len(lines) == 1 and f"is in use by process {second['first']} on" in lines[0], lines
    assert "--force_yml name=OTHER" in lines[0]
    assert second["after"] == 0
