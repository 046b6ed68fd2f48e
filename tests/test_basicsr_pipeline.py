"""BasicSR's own pipelines as commands, and its slurm launcher, which runs what is in a variable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_runs import options, write

from lrfdn_arch import cli


def lrfdn(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lrfdn_arch", *arguments]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_basicsr_trains_resumes_without_a_gpu_and_tests(data: Path, tmp_path: Path) -> None:
    unset = {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None}
    opt = options(data, train__total_iter=3, logger__save_checkpoint_freq=2, path=unset)
    file = write(opt, tmp_path / "train.yml")
    first = lrfdn(tmp_path, "basicsr-train", "-opt", file.name)
    assert first.returncode == 0, first.stderr
    models = tmp_path / "experiments/run/models"
    assert (models / "net_g_latest.pth").is_file()
    again = lrfdn(tmp_path, "basicsr-train", "-opt", file.name, "--auto_resume")
    assert again.returncode == 0, again.stderr
    assert "Resuming training from epoch: 1, iter: 2" in again.stdout + again.stderr

    val = opt["datasets"].pop("val")
    opt["datasets"] = {"test_1": val}
    opt["path"]["pretrain_network_g"] = str(models / "net_g_latest.pth")
    test = lrfdn(tmp_path, "basicsr-test", "-opt", write(opt, tmp_path / "test.yml").name)
    assert test.returncode == 0, test.stderr
    assert "Testing noise_val" in test.stdout + test.stderr
    assert list((tmp_path / "results").glob("run/test_*.log"))


def test_basicsrs_slurm_launcher_is_not_offered(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        cli.main(["basicsr-train", "-opt", "LRFDN_x4_demo", "--launcher", "slurm"])
    assert "invalid choice: 'slurm'" in capsys.readouterr().err
