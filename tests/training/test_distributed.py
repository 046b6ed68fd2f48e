"""Many processes: the same training, any number of them, one of them writing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from repository import REPOSITORY
from training_runs import make_images, options, write

from lrfdn_arch.options import TrainOptions, load_options
from lrfdn_arch.training import distributed

HERE = Path(__file__).parent
PATHS = os.pathsep.join(map(str, (HERE.parent, REPOSITORY)))
ENVIRONMENT = os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("groups")
    result = subprocess.run(
        [sys.executable, str(HERE / "process_groups.py"), str(folder)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two", "two_parts", "two_one", "one_two"])
def test_processes_together_do_what_one_does(groups, name):
    one, many = groups["one"], groups[name]
    assert all(code == 0 for codes in many["codes"] for code in codes), many["output_of_last"]
    assert len(many["losses"]) == 20
    assert many["losses"] == pytest.approx(one["losses"], abs=1e-5)
    assert many["psnr"][-2:] == pytest.approx(one["psnr"][-2:], abs=1e-3)  # of five images


@pytest.mark.slow
def test_processes_together_train_stages_with_muon_branches_and_patch_sizes_as_one_does(groups):
    one, two = groups["one_staged"], groups["two_staged"]
    assert one["codes"] == [0] and two["codes"] == [0, 0]
    assert len(two["losses"]) == 6
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)


@pytest.mark.slow
def test_only_the_first_process_writes_and_speaks(groups):
    assert groups["two"]["logs"] == 1
    assert "iter" not in groups["two"]["output_of_last"]


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_the_same_iteration(groups):
    stopped = groups["stopped"]
    assert stopped["codes"] == [[143, 143]], stopped["output_of_last"]
    assert stopped["states"][-1] == len(stopped["losses"])
    assert len(stopped["losses"]) % 10 == 0


@pytest.mark.slow
def test_a_loss_of_one_process_that_is_no_number_stops_all_before_the_update(groups):
    spoiled = groups["spoiled"]
    assert spoiled["codes"] == [[1, 1]]
    assert "another process had a loss or gradient that is not finite" in spoiled["output_of_first"]
    assert "iteration 5: loss nan" in spoiled["output_of_last"]
    assert "images of the batch: 000" in spoiled["output_of_last"]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("faulty")
    result = subprocess.run(
        [sys.executable, str(HERE / "faulty_groups.py"), str(folder)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("killed", "process 1 (pid "),
        ("frozen", "has given no sign of life for"),
        ("error", "ended: image 3 is damaged"),
    ],
)
def test_a_process_that_fails_is_named_by_the_other(faulty, name, words):
    found = faulty[name]
    assert found["codes"][0] not in (0, -9) and found["seconds"] < 40, found
    last = found["said"][0].splitlines()[-1]
    assert "process 1 (pid " in last and words in last and "--auto_resume" in last, found["said"][0]


@pytest.mark.slow
def test_a_second_signal_ends_a_process_that_waits_for_another(faulty):
    assert faulty["twice"]["codes"] == [143] and faulty["twice"]["seconds"] < 10, faulty["twice"]


@pytest.mark.slow
def test_a_process_that_is_stuck_is_named_and_all_end(faulty):
    found = faulty["stuck"]
    assert found["codes"] == [1, 1] and found["seconds"] < 20, found
    named, ended = found["said"][0].splitlines()[-2:]
    for line in (named, ended):
        assert line.removeprefix("ERROR: ").startswith("no progress for "), found["said"][0]
        assert "process 1 (pid " in line and "is in iteration 5 (faulty_groups.py:" in line
    assert ended.endswith("Resume with --auto_resume")


@pytest.mark.slow
def test_processes_with_other_options_do_not_start(faulty):
    found = faulty["options"]
    assert 0 not in found["codes"] and found["seconds"] < 40
    for said in found["said"]:
        assert "processes 0 and 1 differ in train:total_iter (1000000, 30)" in said


@pytest.mark.slow
def test_a_killed_worker_of_one_process_stops_all_after_saving(faulty):
    found = faulty["worker"]
    assert 0 not in found["codes"] and -9 not in found["codes"], found
    assert f"worker process {found['victim']} was ended by SIGKILL" in found["said"][1]
    assert found["saved"] == found["trained"]


@pytest.mark.slow
def test_torchrun_starts_the_training_command(tmp_path):
    make_images(tmp_path)
    opt = options(tmp_path, train__total_iter=2, datasets__train__batch_size_per_gpu=2)
    file = write(opt, tmp_path / "o.yml")
    code = (
        "import sys; from pathlib import Path; from lrfdn_arch.commands.train import main; "
        f"sys.exit(main(sys.argv[1:], root=Path({str(tmp_path)!r})))"
    )
    script = tmp_path / "start.py"
    script.write_text(code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    result = subprocess.run(
        [*launch, str(script), "-opt", str(file), "--launcher", "pytorch"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "over 2 processes" in result.stdout
    assert (tmp_path / "experiments/run/models/net_g_2.pth").is_file()


@pytest.fixture
def cpu_options(tmp_path) -> TrainOptions:
    return load_options(write(options(tmp_path), tmp_path / "o.yml"), TrainOptions)


@pytest.fixture
def no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that what is set in a test is removed after it
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("nodes", "first"), [("gpu[03-07,9],login", "gpu03"), ("", "127.0.0.1")])
def test_slurm_assigns_ranks_and_the_first_host(
    cpu_options, no_launcher, monkeypatch, tmp_path, nodes, first
):
    variables = {"PROCID": "5", "NTASKS": "8", "LOCALID": "1", "NODELIST": nodes}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ -z "$3" ] || printf "gpu03\\ngpu04\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert distributed._ranks("slurm", cpu_options) == (5, 8, 1)
    assert os.environ["MASTER_ADDR"] == first
    assert os.environ["MASTER_PORT"] == "29500"


def test_a_node_list_never_reaches_a_shell(cpu_options, no_launcher, monkeypatch, tmp_path):
    nodes = f"a; touch {tmp_path}/ran; $(touch {tmp_path}/ran)"
    for name, value in {"PROCID": "0", "NTASKS": "1", "LOCALID": "0", "NODELIST": nodes}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\necho first-node\necho "$@" >"$(dirname "$0")/asked"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    distributed._ranks("slurm", cpu_options)
    assert os.environ["MASTER_ADDR"] == "first-node"
    assert (tmp_path / "asked").read_text().strip() == f"show hostnames {nodes}"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("launcher", "words"), [("pytorch", "torchrun --nproc_per_node"), ("slurm", "srun lrfdn train")]
)
def test_a_launcher_that_was_not_used_is_explained(cpu_options, no_launcher, launcher, words):
    with pytest.raises(ValueError, match=words), distributed.joined(launcher, cpu_options):
        raise AssertionError("joined nobody")


@pytest.mark.parametrize(("count", "words"), [(1, "sees no GPU here"), (2, "sees no GPU here")])
def test_gpus_that_are_not_there_are_explained(tmp_path, monkeypatch, count, words):
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: False)
    file = write(options(tmp_path, num_gpu=count), tmp_path / "o.yml")
    with pytest.raises(ValueError, match=words):
        distributed.joined("none", load_options(file, TrainOptions)).__enter__()


def test_several_gpus_need_a_launcher(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: True)
    file = write(options(tmp_path, num_gpu=2), tmp_path / "o.yml")
    with pytest.raises(ValueError, match=r"torchrun --nproc_per_node 2 -m lrfdn_arch train"):
        distributed.joined("none", load_options(file, TrainOptions)).__enter__()
