"""What a person meets: mistakes explained first of all, and what is shown and kept."""

import faulthandler
import io
import json
import os
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import pytest
import torch
import yaml
from small_lmdbs import break_pages
from training_runs import folders, make_images, options, run, weights

from lrfdn_arch.cli import build_parser
from lrfdn_arch.options import TestOptions as OptionsForTest
from lrfdn_arch.options import TrainOptions, load_options
from lrfdn_arch.training import checks, trainer
from lrfdn_arch.training.run_logger import RunLogger, duration


def mistake(opt, root, *arguments: str) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        run(opt, root, *arguments)
    assert not (root / "experiments").exists(), "a run that never started left a folder"
    return str(caught.value)


def test_mistakes_are_explained_before_the_first_iteration(data, tmp_path):
    def said(**changes) -> str:
        return mistake(options(data, **changes), tmp_path)

    assert "LRFDN, LRFDB" not in said(network_g={"type": "LRFDM"})
    assert "network_g:type: unknown network; did you mean 'LRFDN'?" in said(
        network_g={"type": "LRFDM"}
    )
    text = said(
        model_type="SRModle",
        train__pixel_opt={"type": "L1Los"},
        val__metrics={"psnr": {"type": "calculate_psnr"}},
    )
    assert "4 faults" not in text and "3 faults" in text
    assert "model_type: unknown model; did you mean 'SRModel'?" in text
    assert "train:pixel_opt:type: unknown loss; did you mean 'L1Loss'?" in text
    assert "val:metrics:psnr:crop_border: calculate_psnr needs this argument" in text
    text = said(train__pixel_opt={"type": "L1Loss", "loss_wieght": 1.0})
    assert "unknown argument of L1Loss; did you mean 'loss_weight'?" in text
    text = said(datasets__train__dataroot_gt="nowhere/HR.lmdb")
    assert "datasets:train:dataroot_gt: nowhere/HR.lmdb" in text
    text = said(datasets__train__batch_size_per_gpu=8)
    assert "one batch takes 8 images" in text and "dataset_enlarge_ratio: 2" in text
    many_workers = {"datasets__train__num_worker_per_gpu": 99}  # torch warns, which is enough
    text = said(path__resume_state="nowhere.state", **many_workers)
    assert "nowhere.state: no such training state" in text
    network = {"type": "SRVGGNetCompact", "num_feat": 8, "num_conv": 1, "upscale": 3}
    assert "returns 3x48x48 for 3x16x16, the ground truth has 3x32x32" in said(network_g=network)
    network = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 2_000_000, "upscale": 2}
    assert "EDSR does not fit into memory: " in said(network_g=network)
    network = {"type": "LRFDN", "num_feat": 8, "num_block": 1, "upscale": 2}
    grey = {**network, "num_out_ch": 1}
    assert "returns 1x32x32 for 3x16x16, the ground truth has 3x32x32" in said(network_g=grey)
    grey = {**network, "num_in_ch": 1, "num_out_ch": 1}
    assert "cannot take the training images, 3x16x16" in said(network_g=grey)


def test_validation_sets_are_looked_at_before_training(data, tmp_path):
    def said(folder, **changes) -> str:
        return mistake(options(data, **folders(folder, "val"), **changes), tmp_path)

    other = tmp_path / "other"
    make_images(other, count=1)
    (other / "LR").rename(other / "LR_x2"), (other / "HR").rename(other / "LR")
    (other / "LR_x2").rename(other / "HR")
    assert "HR of the first image is 24x24, LR times scale 2 is 96x96" in said(other)
    for name in ("HR", "LR"):
        (other / name / "0000.png").unlink()
    assert "datasets:val contains no images" in said(other)
    single = {"type": "SingleImageDataset", "name": "lr", "dataroot_lq": str(data / "LR")}
    text = mistake(options(data, datasets__val=single | {"io_backend": {"type": "disk"}}), tmp_path)
    assert "datasets:val has no dataroot_gt, which val:metrics need" in text


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_training_image_is_named(tmp_path, plain_runs, workers):
    make_images(tmp_path)
    file = tmp_path / "HR/0003.png"
    file.write_bytes(file.read_bytes()[:40])
    opt = options(tmp_path, **folders(tmp_path), datasets__train__num_worker_per_gpu=workers)
    with pytest.raises(
        ValueError, match=r"image \d of the dataset \(.*HR/0003\.png\) cannot"
    ) as caught:
        run(opt, tmp_path)
    assert "Traceback" not in str(caught.value)


def test_an_lmdb_with_pages_that_end_the_process_is_named_before_training(tmp_path, request):
    make_images(tmp_path)
    faulthandler.disable()  # of pytest, which prints where the process ends
    request.addfinalizer(faulthandler.enable)
    break_pages(tmp_path / "LR.lmdb")
    said = mistake(options(tmp_path), tmp_path)
    assert f"{tmp_path / 'LR.lmdb'}: pages of data.mdb are damaged or cannot be read" in said


@pytest.mark.slow
def test_an_lmdb_that_is_cut_during_training_is_named_and_training_is_saved(tmp_path, plain_runs):
    make_images(tmp_path)
    opt = options(tmp_path, train__total_iter=10**5, train__scheduler={"type": "ConstantLR"})
    opt["datasets"]["train"]["num_worker_per_gpu"] = 2
    log, lmdb = tmp_path / "experiments/run/metrics.jsonl", tmp_path / "HR.lmdb"

    def cut() -> None:
        while not (log.is_file() and log.read_text().count("train") > 3):
            time.sleep(0.05)
        os.truncate(lmdb / "data.mdb", 8192)

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(ValueError, match=rf"{lmdb}.*cut short"):
        run(opt | {"val": None}, tmp_path)
    thread.join()
    trained = log.read_text().count('"train"')
    assert (tmp_path / f"experiments/run/training_states/{trained}.state").is_file()


def test_basicsrs_model_gets_uint8_images_as_floats(data, tmp_path, plain_runs):
    schedule = {"type": "MultiStepLR", "milestones": [3, 6]}
    opt = options(data, model_type="SRModel", train__scheduler=schedule)
    assert run(opt, tmp_path) == 0
    lines = (tmp_path / "experiments/run/metrics.jsonl").read_text().splitlines()
    assert all(line["l_pix"] < 1 for line in map(json.loads, lines) if line["kind"] == "train")


def test_float16_goes_on_after_an_overflow(data, tmp_path, plain_runs, monkeypatch):
    from lrfdn_arch.training.model.precision import Precision

    scalers = []

    def scaler(self):
        scalers.append(torch.amp.GradScaler("cpu", init_scale=2.0**100))
        return scalers[-1]

    monkeypatch.setattr(Precision, "scaler", scaler)
    assert run(options(data, use_amp=True), tmp_path) == 0
    assert scalers[0].get_scale() < 2.0**100, "there was no overflow"


def test_a_failed_validation_loses_no_training(data, tmp_path, plain_runs, monkeypatch):
    def fail(*_):
        raise ValueError("the GPU's memory ran out in validation")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "validate_model", fail)
        with pytest.raises(ValueError, match="ran out in validation"):
            run(options(data), tmp_path / "failed")
    assert (tmp_path / "failed/experiments/run/training_states/4.state").is_file()
    assert run(options(data), tmp_path / "failed", "--auto_resume") == 0
    assert run(options(data), tmp_path / "whole") == 0
    validations = [
        [
            (line["iter"], line["metrics"])
            for line in map(json.loads, text.splitlines())
            if line["kind"] == "validation"
        ]
        for text in (
            (tmp_path / name / "experiments/run/metrics.jsonl").read_text()
            for name in ("failed", "whole")
        )
    ]
    assert validations[0] == validations[1] and len(validations[0]) == 4


def test_an_empty_dataset_is_explained(tmp_path):
    make_images(tmp_path, count=1)
    for name in ("HR", "LR"):
        (tmp_path / name / "0000.png").unlink()
    text = mistake(options(tmp_path, **folders(tmp_path), **folders(tmp_path, "val")), tmp_path)
    assert "contains no images" in text


def test_batches_larger_than_the_dataset_work_where_asked_for(data, tmp_path, plain_runs):
    changes = {"batch_size_per_gpu": 8, "dataset_enlarge_ratio": 2}
    opt = options(data)
    opt["datasets"]["train"] |= changes
    assert run(opt, tmp_path) == 0


def test_a_loss_that_is_not_finite_ends_the_run_and_spoils_no_checkpoint(
    data, tmp_path, plain_runs, monkeypatch
):
    step = trainer.step

    def spoil(session, batch, iteration):
        if iteration == 6:
            batch["gt"] = batch["gt"].float() * float("nan")
        step(session, batch, iteration)

    monkeypatch.setattr(trainer, "step", spoil)
    with pytest.raises(ValueError, match=r"(?s)iteration 6: loss nan.*images of the batch: 000"):
        run(options(data), tmp_path)
    models = sorted(p.name for p in (tmp_path / "experiments/run/models").iterdir())
    assert models == ["net_g_4.pth", "net_g_best.pth"]
    assert all(w.isfinite().all() for w in weights(tmp_path, "best").values())


def test_running_out_of_memory_says_what_to_turn_down(data, tmp_path, plain_runs, monkeypatch):
    from lrfdn_arch.training.model.lrfdn_model import LRFDNModel

    def too_much(self, current_iter):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(LRFDNModel, "optimize_parameters", too_much)
    with pytest.raises(ValueError, match="batch_size_per_gpu=2 datasets:train:accum_iter=2"):
        run(options(data), tmp_path)
    train = {"datasets__train__accum_iter": 2, "datasets__train__batch_size_per_gpu": 3}
    with pytest.raises(
        ValueError, match=r"with 1/3 of the memory.*per_gpu=1 datasets:train:accum_iter=6"
    ):
        run(options(data, **train), tmp_path)
    with pytest.raises(ValueError) as caught:
        run(options(data, datasets__train__batch_size_per_gpu=1), tmp_path)
    assert "batch_size_per_gpu" not in str(caught.value) and "gt_size" in str(caught.value)


@pytest.mark.parametrize(
    ("function", "error", "advice"),
    [
        ("archs.lrfdn_arch.LRFDN.forward", "CUDA out of memory", "memory ran out: CUDA.*gt_size"),
        ("training.loader.to_device", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "memory ran out"),
        ("training.model.lrfdn_model.LRFDNModel.optimize_parameters", "Failed to find C compiler",
         "needs Triton and a C compiler.*use_compile=false"),
    ],
    ids=["first forward pass", "next batch", "compilation"],
)  # fmt: skip
def test_errors_of_the_gpus_libraries_are_one_line_of_advice(
    data, tmp_path, plain_runs, monkeypatch, function, error, advice
):
    def fails(*_, **__):
        raise RuntimeError(error)

    monkeypatch.setattr(f"lrfdn_arch.{function}", fails)
    with pytest.raises(ValueError, match=advice) as caught:
        run(options(data), tmp_path)
    assert "\n" not in str(caught.value)


def test_shared_memory_too_small_for_the_workers_batches_is_named(
    data, tmp_path, plain_runs, monkeypatch
):
    batch = 4 * 3 * (32 * 32 + 16 * 16)  # four images as bytes; each worker prefetches four such
    monkeypatch.setattr(checks, "disk_usage", lambda _: SimpleNamespace(free=5 * batch))
    text = mistake(options(data, datasets__train__num_worker_per_gpu=2), tmp_path)
    assert "2 data workers" in text and "--shm-size=1g or --ipc=host" in text
    assert text.endswith("num_worker_per_gpu=1")


@pytest.mark.slow
def test_a_run_leaves_everything_it_promises(data, tmp_path, capsys):
    opt = options(data, logger__use_tb_logger=True)
    assert run(opt, tmp_path, "--force_yml", "train:optim_g:lr=1e-3", "val:val_freq=5") == 0
    said = capsys.readouterr().out
    experiment = tmp_path / "experiments/run"
    for words in (
        "data     noise, 6 images, HR patches of 32, x2",
        "network  LRFDN, 2,247 parameters, 0.1",
        "batch    4, 0 workers",
        "length   8 iterations = 5.3 epochs",
        f"lrfdn test -opt {experiment}/test.yml",
    ):
        assert words in said, said
    assert "\r" not in said and "\x1b" not in said  # piped: whole lines only
    assert (experiment / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tb_logger/run").glob("events*"))
    assert "Dataset [PairedLMDBDataset]" not in said
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["kind"] == "train"]
    assert [line["iter"] for line in train] == list(range(1, 9))
    assert {"l_pix", "lr", "epoch", "grad_norm", "iter_per_s", "data_s"} <= train[0].keys()
    found = [(line["iter"], line["weights"]) for line in lines if line["kind"] == "validation"]
    assert found == [(5, "ema"), (5, "raw"), (8, "ema"), (8, "raw")]
    resolved = load_options(experiment / "options.yml", TrainOptions)
    assert resolved.train.optim_g.lr == 1e-3
    assert resolved == load_options(
        tmp_path / "options_of_test.yml",
        TrainOptions,
        ["train:optim_g:lr=1e-3", "val:val_freq=5"],
    )


def test_the_file_a_run_leaves_for_testing_works(data, tmp_path, plain_runs, monkeypatch):
    from lrfdn_arch.evaluation import testing as pipeline
    from lrfdn_arch.evaluation.measure import averages

    assert run(options(data), tmp_path) == 0
    file = tmp_path / "experiments/run/test.yml"
    lines = (tmp_path / "experiments/run/metrics.jsonl").read_text().splitlines()
    last = next(m for m in map(json.loads, reversed(lines)) if m.get("weights") == "ema")
    results = pipeline.test(load_options(file, OptionsForTest), root=tmp_path)
    found = averages(results["noise_val"])
    assert found == pytest.approx(last["metrics"], abs=1e-9)


def test_an_earlier_run_of_that_name_is_put_aside(data, tmp_path, plain_runs, capsys):
    for _ in range(2):
        assert run(options(data, train__total_iter=1), tmp_path) == 0
    assert "renamed an earlier run to" in capsys.readouterr().out
    assert len(list((tmp_path / "experiments").iterdir())) == 2


def test_debugging_is_a_short_run_of_another_name(data, tmp_path, plain_runs):
    assert run(options(data, logger__print_freq=100), tmp_path, "--debug") == 0
    lines = (tmp_path / "experiments/debug_run/metrics.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["kind"] == "train" for line in lines) == 8


def test_weights_and_biases_is_imported_only_when_asked_for(
    data, tmp_path, plain_runs, monkeypatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert run(options(data, logger__wandb={"project": None}), tmp_path) == 0
    with pytest.raises(ValueError, match="needs the package wandb: pip install wandb"):
        run(options(data, logger__wandb={"project": "p"}), tmp_path)
    logged, fake = [], ModuleType("wandb")
    fake_run = SimpleNamespace(
        log=lambda values, step: logged.append((step, values)), finish=lambda: logged.append("end")
    )
    fake.init = lambda **arguments: logged.append(arguments) or fake_run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    section = {"project": "p", "entity": "team", "resume_id": "x"}
    assert run(options(data, logger__wandb=section), tmp_path) == 0
    assert logged[0]["entity"] == "team"
    assert (logged[0]["project"], logged[0]["id"], logged[0]["resume"]) == ("p", "x", "allow")
    assert (1, "losses/l_pix") in [(step, key) for step, v in logged[1:-1] for key in v]
    assert any("metrics/noise_val/psnr_raw" in v for _, v in logged[1:-1])
    assert logged[-1] == "end"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_moves(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    log = RunLogger(5, 100)
    log.training(9, 1.5, 5e-4, {"l_pix": 0.03})
    time.sleep(0.15)
    log.tick(10)
    shown = screen.getvalue()
    assert "\r" in shown and "\n" not in shown
    for words in (" 10%", "10/100 it", "l_pix 3.0000e-02", "lr 5.00e-04"):
        assert words in shown.rpartition("\r")[2], shown
    log.note("validated")
    assert "\rvalidated\n" in screen.getvalue()
    log.close()


def test_the_end_of_a_pipes_reader_is_not_an_error(monkeypatch, capsys):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        log = RunLogger(0, 100)
        log.note("read")
        assert os.read(reader, 100) == b"read\n"
        os.close(reader)
        log.note("not read")
        log.note("nor this")
        monkeypatch.undo()


def test_the_time_a_run_will_take_is_said_once(capsys):
    log = RunLogger(5, 1000)
    for iteration in range(6, 200):
        log.tick(iteration)
    assert capsys.readouterr().out.count("to go, at") == 1


def test_durations_read_as_on_a_clock():
    assert [duration(s) for s in (0, 59.6, 61, 3600 * 25 + 62)] == [
        "0:00",
        "1:00",
        "1:01",
        "25:01:02",
    ]


def test_the_command_takes_basicsrs_arguments():
    arguments = build_parser().parse_args(
        [
            "train",
            "-opt",
            "a.yml",
            "--launcher",
            "slurm",
            "--auto_resume",
            "--debug",
            "--local-rank",
            "1",
            "--force_yml",
            "a=1",
            "b:c=2",
        ]
    )
    assert arguments.force_yml == ["a=1", "b:c=2"] and arguments.auto_resume
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "-opt", "a", "--launcher", "mpi"])


def test_validation_may_take_only_one_kind_of_weights_and_save_images(data, tmp_path, plain_runs):
    opt = options(data, val__weights="raw", val__save_img=True, val__tile_size=20)
    assert run(opt, tmp_path) == 0
    images = list((tmp_path / "experiments/run/visualization").glob("*/*_8.png"))
    assert len(images) == 6
    text = (tmp_path / "experiments/run/metrics.jsonl").read_text()
    assert '"raw"' in text and '"ema"' not in text
    resolved = yaml.safe_load((tmp_path / "experiments/run/options.yml").read_text())
    assert (resolved["val"]["tile_size"], resolved["val"]["tile_overlap"]) == (20, 16)


def test_no_validation_set_is_fine(data, tmp_path, plain_runs, capsys):
    opt = options(data)
    del opt["datasets"]["val"], opt["val"]
    assert run(opt, tmp_path) == 0
    assert "path:pretrain_network_g=WEIGHTS" in capsys.readouterr().out
    assert not (tmp_path / "experiments/run/test.yml").exists()


def test_a_metric_of_the_users_own_gets_only_the_arguments_that_were_written(
    data, tmp_path, plain_runs
):
    (tmp_path / "my_metric.py").write_text(
        "from basicsr.utils.registry import METRIC_REGISTRY\n"
        "@METRIC_REGISTRY.register()\n"
        "def my_brightest(img, img2, factor=1.0):\n"
        "    return float(img.max()) * factor\n"
    )
    metric = {"type": "my_brightest", "factor": 2, "better": "lower"}
    opt = options(data, val__metrics={"brightest": metric}) | {"imports": ["my_metric.py"]}
    assert run(opt, tmp_path) == 0
    lines = (tmp_path / "experiments/run/metrics.jsonl").read_text().splitlines()
    values = [line["metrics"] for line in map(json.loads, lines) if line["kind"] == "validation"]
    assert all(0 < value["brightest"] <= 510 for value in values) and values
