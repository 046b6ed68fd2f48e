"""Many processes: the same training, any number of them, one of them writing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_runs import make_images, options, write

from lrfdn_arch.options import TrainOptions, load_options
from lrfdn_arch.training import distributed

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}


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
def no_group(monkeypatch):
    """Joining a group only notes how it would be joined."""
    joined = {}

    def join(backend, **arguments):
        joined.update(arguments, backend=backend)

    monkeypatch.setattr(distributed.dist, "init_process_group", join)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return joined


def test_slurm_says_who_we_are(cpu_options, no_group, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "")
    monkeypatch.delenv("MASTER_ADDR")
    variables = {"PROCID": "5", "NTASKS": "8", "LOCALID": "1", "NODELIST": "gpu[03-07,9],login"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(distributed.shutil, "which", lambda name: None)  # no scontrol here
    placement = distributed.set_up("slurm", cpu_options)
    assert (placement.rank, placement.world_size, placement.num_gpu) == (5, 8, 0)
    assert no_group["backend"] == "gloo"
    assert os.environ["MASTER_ADDR"] == "gpu03"
    assert os.environ["MASTER_PORT"] == "29500"


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a", "a"), ("a,b", "a"), ("n[3-5]", "n3"), ("n[07,9]", "n07"), ("a,n[3-5]", "a"), ("", None)],
)
def test_the_first_of_slurms_nodes(nodes, first, monkeypatch):
    monkeypatch.setattr(distributed.shutil, "which", lambda name: None)
    assert distributed._first_host(nodes) == (first or "127.0.0.1")


@pytest.mark.parametrize(
    ("launcher", "words"), [("pytorch", "torchrun --nproc_per_node"), ("slurm", "srun lrfdn train")]
)
def test_a_launcher_that_was_not_used_is_explained(cpu_options, no_group, launcher, words):
    with pytest.raises(ValueError, match=words):
        distributed.set_up(launcher, cpu_options)


@pytest.mark.parametrize(("count", "words"), [(1, "sees no GPU here"), (2, "sees no GPU here")])
def test_gpus_that_are_not_there_are_explained(tmp_path, monkeypatch, count, words):
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: False)
    file = write(options(tmp_path, num_gpu=count), tmp_path / "o.yml")
    with pytest.raises(ValueError, match=words):
        distributed.set_up("none", load_options(file, TrainOptions))


def test_several_gpus_need_a_launcher(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: True)
    file = write(options(tmp_path, num_gpu=2), tmp_path / "o.yml")
    with pytest.raises(ValueError, match=r"torchrun --nproc_per_node 2 -m lrfdn_arch train"):
        distributed.set_up("none", load_options(file, TrainOptions))
