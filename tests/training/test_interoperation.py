"""BasicSR's loop with our files, and our loop with BasicSR's files."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from training_runs import folders, options, run, weights, write

from lrfdn_arch.commands.train import main
from lrfdn_arch.training.checkpoint import load_state

pytestmark = pytest.mark.usefixtures("plain_runs")
SHIPPED = Path(__file__).parents[2] / "options/train/LRFDN/train_LRFDN_x2_DF2K.yml"

EDSR = """\
# general settings, as BasicSR's own files write them
name: 201_EDSR
model_type: SRModel
scale: 2
num_gpu: 0
manual_seed: 0

datasets:
  train:
    name: noise
    type: PairedImageDataset
    dataroot_gt: {data}/HR
    dataroot_lq: {data}/LR
    filename_tmpl: '{{}}'
    io_backend:
      type: disk
    gt_size: 32
    use_hflip: true
    use_rot: true
    use_shuffle: true
    num_worker_per_gpu: 0
    batch_size_per_gpu: 4
    dataset_enlarge_ratio: 100
    prefetch_mode: ~
  val:
    name: noise_val
    type: PairedImageDataset
    dataroot_gt: {data}/HR
    dataroot_lq: {data}/LR
    io_backend:
      type: disk

network_g:
  type: EDSR
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 8
  num_block: 1
  upscale: 2
  res_scale: 1
  img_range: 255.
  rgb_mean: [0.4488, 0.4371, 0.4040]

path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~

train:
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float 1e-3
    weight_decay: 0
    betas: [0.9, 0.99]
  scheduler:
    type: MultiStepLR
    milestones: [200000]
    gamma: 0.5
  total_iter: 6
  warmup_iter: -1
  pixel_opt:
    type: L1Loss
    loss_weight: 1.0
    reduction: mean

val:
  val_freq: !!float 3e0
  save_img: true
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 2
      test_y_channel: false

logger:
  print_freq: 1
  save_checkpoint_freq: !!float 3e0
  use_tb_logger: false
  wandb:
    project: ~
    resume_id: ~

dist_params:
  backend: nccl
  port: 29500
"""


@pytest.fixture
def train_pipeline(monkeypatch, tmp_path):
    """train_pipeline(option file): BasicSR's own loop, in this process."""
    import logging

    from basicsr.train import train_pipeline as pipeline
    from basicsr.utils import logger as basicsr_logger

    import lrfdn_arch  # noqa: F401 (before BasicSR)

    def start(file: Path, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["train.py", "-opt", str(file), *arguments])
        pipeline(str(tmp_path))

    monkeypatch.setattr(basicsr_logger, "initialized_logger", {})
    handlers = logging.getLogger("basicsr").handlers
    before = list(handlers)
    yield start
    handlers[:] = before


def test_basicsrs_loop_runs_a_file_of_ours(train_pipeline, data, tmp_path):
    opt = yaml.safe_load(SHIPPED.read_text())
    roots = {"dataroot_gt": str(data / "HR.lmdb"), "dataroot_lq": str(data / "LR.lmdb")}
    small = {"gt_size": 32, "batch_size_per_gpu": 2, "num_worker_per_gpu": 0}
    opt["datasets"]["train"] |= roots | small
    opt["datasets"]["val"] |= roots
    opt["network_g"] |= {"num_feat": 8, "num_block": 1}
    opt["num_gpu"] = 0
    opt["train"] |= {"total_iter": 3}
    opt["val"]["val_freq"] = 2
    opt["logger"] |= {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False}
    train_pipeline(write(opt, tmp_path / "o.yml"))
    experiment = tmp_path / "experiments" / opt["name"]
    found = torch.load(experiment / "models/net_g_latest.pth", weights_only=True)
    assert set(found) == {"params", "params_ema", "network_g"}
    assert found["network_g"]["type"] == "LRFDN"
    assert (experiment / "training_states/2.state").is_file()
    log = next(experiment.glob("train_*.log")).read_text()
    assert "Model [LRFDNModel] is created" in log
    assert "psnr_rgb" in log and "l_pix" in log


def test_our_loop_goes_on_where_basicsrs_stopped_with_our_model(train_pipeline, data, tmp_path):
    opt = options(data, datasets__val__io_backend={"type": "lmdb"})
    opt["train"]["total_iter"] = 4
    opt["path"] = {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None}
    train_pipeline(write(opt, tmp_path / "o.yml"))
    assert run(options(data), tmp_path, "--auto_resume") == 0
    assert (tmp_path / "experiments/run/training_states/8.state").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("batch", [1, 2, 4, 5, 6])
def test_either_loop_resumes_where_the_other_stopped(
    train_pipeline, data, tmp_path, monkeypatch, ratio, batch
):
    train_set = {"batch_size_per_gpu": batch, "dataset_enlarge_ratio": ratio}
    opt = options(data, val=None, logger__save_checkpoint_freq=1)
    opt["datasets"]["train"] |= train_set
    opt["path"] = {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None}
    states = tmp_path / "experiments/run/training_states"

    def total(iterations: int) -> dict:
        return opt | {"train": opt["train"] | {"total_iter": iterations}}

    assert run(total(5), tmp_path) == 0
    opt["path"]["resume_state"] = str(states / "5.state")
    train_pipeline(write(total(9), tmp_path / "o.yml"))
    assert (states / "9.state").is_file(), "BasicSR trained nothing"
    opt["path"]["resume_state"] = None
    assert run(total(12), tmp_path, "--auto_resume") == 0
    final = load_state(states / "12.state")
    assert float(next(iter(final["optimizers"][0]["state"].values()))["step"]) == 12


def test_our_loop_trains_basicsrs_edsr_with_srmodel(data, tmp_path):
    file = tmp_path / "edsr.yml"
    file.write_text(EDSR.format(data=data))
    assert main(["-opt", str(file)], root=tmp_path) == 0
    experiment = tmp_path / "experiments/201_EDSR"
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    losses = [line["l_pix"] for line in lines if line["kind"] == "train"]
    assert len(losses) == 6
    assert [line["iter"] for line in lines if line["kind"] == "validation"] == [3, 3, 6, 6]
    assert (experiment / "visualization/0002/0002_6.png").is_file()
    found = weights(tmp_path, 6, "201_EDSR")
    assert "params.conv_first.weight" in found and "params_ema.conv_first.weight" in found


def test_our_model_trains_a_network_of_basicsrs_on_its_dataset(data, tmp_path):
    network = {"type": "SRVGGNetCompact", "num_feat": 8, "num_conv": 1, "upscale": 2}
    opt = options(data, network_g=network, **folders(data), **folders(data, "val"))
    assert run(opt, tmp_path) == 0
    assert "params_ema.body.0.weight" in weights(tmp_path, 8)
