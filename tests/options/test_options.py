"""Option files: what is accepted, what is reported, and what BasicSR gets."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from lrfdn_arch.options import (
    OptionsError,
    Placement,
    TrainOptions,
    check_files,
    load_options,
    to_basicsr,
)
from lrfdn_arch.options import TestOptions as OptionsForTest

GOOD = """\
name: run
model_type: LRFDNModel
scale: 4
num_gpu: 0
manual_seed: 3
datasets:
  train:
    name: photos
    type: PairedLMDBDataset
    dataroot_gt: gt.lmdb
    dataroot_lq: lq.lmdb
    gt_size: 96
    batch_size_per_gpu: 8
  val: {name: a, type: PairedImageDataset, dataroot_gt: a, dataroot_lq: b, io_backend: {type: disk}}
  val_2: {name: b, type: PairedImageDataset, dataroot_gt: a, dataroot_lq: b}
network_g: {type: LRFDN, num_feat: 16, num_block: 1}
train:
  total_iter: 100
  warmup_iter: 10
  ema_decay: 0.99
  optim_g: {type: Adam, lr: 1e-4, betas: [0.9, 0.99]}
  scheduler: {type: CosineAnnealingRestartLR, periods: [100], eta_min: 1e-7}
  pixel_opt: {type: L1Loss, loss_weight: 1.0, reduction: mean}
val:
  val_freq: !!float 5e1
  metrics: {psnr: {type: calculate_psnr, crop_border: 4}}
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str = GOOD, *replacements: tuple[str, str]) -> Path:
        for old, new in replacements:
            assert old in text, f"{old!r} is not in the example"
            text = text.replace(old, new)
        file = tmp_path / "options.yml"
        file.write_text(text, encoding="utf-8")
        return file

    return _write


def faults_of(file: Path, *overrides: str, kind=TrainOptions) -> str:
    with pytest.raises(OptionsError) as caught:
        load_options(file, kind, overrides)
    return str(caught.value)


def test_a_good_file_is_typed(write):
    options = load_options(write(), TrainOptions)
    assert options.train.optim_g.lr == 1e-4
    assert options.val is not None and options.val.val_freq == 50
    assert options.phases("val") == ["val", "val_2"]
    assert options.network_g.arguments() == {"num_feat": 16, "num_block": 1}


@pytest.mark.parametrize(
    "text", ["1e-4", "1E-4", "1.e-4", "!!float 1e-4", "0.0001", ".1e-3", "+1e-4"]
)
def test_every_way_to_write_a_small_number_is_a_number(write, text):
    options = load_options(write(GOOD, ("lr: 1e-4", f"lr: {text}")), TrainOptions)
    assert options.train.optim_g.lr == pytest.approx(1e-4)


def test_options_are_frozen(write):
    options = load_options(write(), TrainOptions)
    with pytest.raises(ValidationError):
        options.train.total_iter = 5  # type: ignore[misc]


def test_all_faults_come_at_once_with_line_path_expected_and_found(write):
    file = write(
        GOOD,
        ("manual_seed", "manual_sed"),
        ("gt_size: 96", "gt_sise: 96"),
        ("batch_size_per_gpu: 8", 'batch_size_per_gpu: "8"'),
        ("  val_2:", "  valid:"),
        ("num_feat: 16", "num_fea: 16"),
        ("ema_decay: 0.99", "ema_decay: 1.5"),
        ("type: Adam", "type: Adamm"),
        ("crop_border", "crop_boarder"),
    )
    text = faults_of(file)
    assert "9 faults" in text, text
    for expected in (
        "line 5, manual_sed: unknown key; did you mean 'manual_seed'?",
        "line 12, datasets:train:gt_sise: unknown key; did you mean 'gt_size'?",
        "line 13, datasets:train:batch_size_per_gpu: expected a whole number, found '8'",
        "line 15, datasets:valid: expected a phase: train, val, val_2",
        "line 16, network_g:num_fea: unknown argument of LRFDN; did you mean 'num_feat'?",
        "line 20, train:ema_decay: expected less than 1, found 1.5",
        "line 21, train:optim_g:type: unknown optimizer; did you mean 'Adam'?, found 'Adamm'",
        "line 26, val:metrics:psnr:crop_boarder: unknown argument of calculate_psnr; did you mean "
        "'crop_border'?",
        "line 26, val:metrics:psnr:crop_border: calculate_psnr needs this argument",
    ):
        assert expected in text, text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "gt_size: 96",
            "gt_size: 94",
            "datasets:train:gt_size: expected a multiple of scale 4, found 94",
        ),
        ("gt_size: 96", "gt_size: 32", "at scale 4 expected at least 60"),
        (
            "ema_decay: 0.99",
            "ema_decay: 0.99\n  patch_sizes: [64, 128]",
            "train:patch_sizes:1: expected a multiple of scale 4, up to gt_size, 96, found 128",
        ),
        (
            "ema_decay: 0.99",
            "ema_decay: 0.99\n  patch_sizes: [32, 64]",
            "train:patch_sizes:0: LRFDN trains on LR patches of 15 pixels or more",
        ),
        ("num_feat: 16,", "upscale: 2,", "network_g:upscale: expected 4 as in 'scale', found 2"),
        (
            "scale: 4",
            "scale: 2",
            "network_g:upscale: expected 2 as in 'scale', found 4 (the default)",
        ),
        ("ema_decay: 0.99", "ema_decay: 0", "val:weights: asks for the EMA weights while"),
        ("warmup_iter: 10", "warmup_iter: 100", "train:warmup_iter: expected less than total_iter"),
        ("periods: [100]", "periods: [50]", "periods that add up to total_iter, 100, or more"),
        (
            "periods: [100]",
            "periods: [50, 50]",
            "restart_weights: expected as many as there are per",
        ),
        ("eta_min: 1e-7", "eta_min: 1", "expected less than optim_g:lr, 0.0001, found 1.0"),
        ("scale: 4", "scale: 4\namp_bf16: true", "amp_bf16: has no effect while use_amp is off"),
        (
            "  val_freq",
            "  tile_size: 8\n  tile_overlap: 8\n  val_freq",
            "expected less than tile_size",
        ),
        ("  val_freq", "  best_metric: pnsr\n  val_freq", "unknown metric; did you mean 'psnr'?"),
        ("    gt_size: 96\n", "", "datasets:train:gt_size: needed, the side of the HR patches"),
        ("    batch_size_per_gpu: 8\n", "", "batch_size_per_gpu: needed"),
        ("    dataroot_lq: lq.lmdb\n", "", "dataroot_lq: needed, a folder or .lmdb"),
        ("  val_2:", "  test_2:", "datasets:test_2: test phases belong in a file for `lrfdn test`"),
        (
            "  pixel_opt: {type: L1Loss, loss_weight: 1.0, reduction: mean}\n",
            "",
            "train:pixel_opt: need",
        ),
        ("LRFDNModel", "SRModel\nuse_amp: true", "use_amp: SRModel does not support this"),
        (
            "type: CosineAnnealingRestartLR, periods: [100], eta_min: 1e-7",
            "type: OneCycleLR",
            "has a warm-up of its own",
        ),
        (
            "type: CosineAnnealingRestartLR, periods: [100], eta_min: 1e-7",
            "type: MultiStepLR",
            "milest",
        ),
        (
            "eta_min: 1e-7",
            "T_max: 50",
            "T_max: CosineAnnealingRestartLR does not read this; it re",
        ),
        ("eta_min: 1e-7", "milestones: [3]", "milestones: CosineAnnealingRestartLR does not read"),
        ("periods: [100]", "periods: [0, 100]", "train:scheduler:periods:0: expected greater than"),
        ("betas: [0.9, 0.99]", "betas: [0.9]", "train:optim_g:betas:1: this key is needed"),
        ("type: Adam,", "type: LBFGS,", "train:optim_g:type: unknown optimizer"),
        (
            "{type: Adam, lr: 1e-4, betas: [0.9, 0.99]}",
            "{type: Muon, lr: 5e-3, adam_rl: 4e-3}",
            "train:optim_g:adam_rl: unknown argument of Muon; did you mean 'adam_lr'?",
        ),
        ("val:\n", "path: {init: bicubic}\nval:\n", "path:init: expected 'bilinear'"),
        ("reduction: mean", "reduction: none", "reduction: expected mean or sum, found 'none'"),
        ("  val_freq", "  use_amp: true\n  val_freq", "val:use_amp: takes training's mixed prec"),
        ("val_2: {name: b,", "val_2: {name: a,", "val_2:name: expected another name than val has"),
        ("total_iter: 100", "total_iter: 010", "train:total_iter: expected a whole number, found"),
        ("total_iter: 100", "total_iter: 1:30", "train:total_iter: expected a whole number, found"),
        ("periods: [100]", "periods: 100", "expected a list such as [1, 2], found 100"),
        ("name: run", "name: ..", "name: expected a name without slashes"),
        (
            "{type: calculate_psnr, crop",
            "{type: [a], crop",
            "val:metrics:psnr:type: expected a stri",
        ),
    ],
)
def test_a_contradiction_is_reported(write, old, new, expected):
    file = write(GOOD, (old, new))
    overrides = ["val:weights=both"] if "EMA" in expected else []
    assert expected in faults_of(file, *overrides)


def test_validation_without_data_is_a_contradiction(write):
    keep = [line for line in GOOD.splitlines() if not line.startswith("  val")]
    text = "\n".join(keep) + "\nval: {val_freq: 5}\n"
    text = text.replace("val:\n  metrics: {psnr: {type: calculate_psnr, crop_border: 4}}\n", "")
    assert "datasets:val: needed, since val:val_freq asks" in faults_of(write(text))


def test_a_syntax_error_has_its_line(write):
    assert "line 21, column 52" in faults_of(
        write(GOOD, ("betas: [0.9, 0.99]", "betas: [0.9, 0.99"))
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: run", "name: r\x00n", "is not YAML"),
        ("1e-4", "!!float 1e-4x", "line 21, train:optim_g:lr: could not convert string to float"),
        ("name: run", "name: run\nx: &a [*a]", "an anchor (&) contains itself"),
    ],
)
def test_what_yaml_cannot_hold_is_said_in_a_line(write, old, new, expected):
    assert expected in faults_of(write(GOOD, (old, new)))


def test_a_date_is_a_name(write):
    file = write(GOOD, ("name: run", "name: 2024-11-22"))
    assert load_options(file, TrainOptions).name == "2024-11-22"


def test_a_key_written_twice_is_a_fault(write):
    text = faults_of(write(GOOD + "name: other\n"))
    assert "line 27, name: is there twice, first in line 1" in text


def test_yaml_that_runs_code_is_refused(write, tmp_path):
    bait = tmp_path / "ran"
    file = write(GOOD + f"extra: !!python/object/apply:os.mkdir ['{bait}']\n")
    assert "option files cannot run code" in faults_of(file)
    assert not bait.exists()


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text"])
def test_a_file_that_is_no_mapping_is_refused(write, text):
    assert "expected keys and values" in faults_of(write(text))


def test_a_missing_file_says_where_the_others_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such option file; `lrfdn recipes`"):
        load_options(tmp_path / "nothing.yml", TrainOptions)


def test_force_yml_is_typed_and_checked(write):
    options = load_options(
        write(), TrainOptions, ["train:optim_g:lr=1e-3", "val:val_freq=5", "logger:keep_last=2"]
    )
    assert options.train.optim_g.lr == 1e-3
    assert options.val is not None and options.val.val_freq == 5
    assert options.logger.keep_last == 2
    text = faults_of(write(), "train:optim_g:lr=fast", "val:val_frek=5", "name:x:y=1")
    assert "name:x:y=1: name is 'run', not a section" in text
    text = faults_of(write(), "train:optim_g:lr=fast", "val:val_frek=5")
    assert "--force_yml, train:optim_g:lr: expected a number, found 'fast'" in text
    assert "--force_yml, val:val_frek: unknown key; did you mean 'val_freq'?" in text
    assert "expected key:key=value" in faults_of(write(), "train.lr")


def test_force_yml_runs_no_code(write, tmp_path):
    bait = tmp_path / "ran"
    faults_of(write(), f"name=[__import__('os').mkdir('{bait}')]", 'name"]=1;import os#=1')
    assert not bait.exists()


def test_types_of_others_keep_their_own_arguments(write):
    file = write(
        GOOD,
        ("LRFDNModel", "RealESRNetModel"),
        ("type: PairedLMDBDataset", "type: RealESRGANDataset\n    blur_kernel_size: 21"),
        ("{type: LRFDN,", "{type: RRDBNet, num_in_ch: 3, num_out_ch: 3,"),
        ("train:\n  total_iter", "l1_gt_usm: true\ntrain:\n  net_d_iters: 1\n  total_iter"),
    )
    opt = to_basicsr(load_options(file, TrainOptions), root=Path("/root_of_runs"))
    assert opt["l1_gt_usm"] is True
    assert opt["train"]["net_d_iters"] == 1
    assert opt["datasets"]["train"]["blur_kernel_size"] == 21
    channels = {"num_in_ch": 3, "num_out_ch": 3}
    assert opt["network_g"] == {"type": "RRDBNet", **channels, "num_feat": 16, "num_block": 1}


def test_basicsr_gets_a_fresh_plain_dict_with_all_it_expects(write, tmp_path):
    options = load_options(write(), TrainOptions)
    opt = to_basicsr(options, root=tmp_path, placement=Placement(1, 2, 0, True))
    yaml.safe_dump(opt)  # nothing but plain types
    assert (opt["is_train"], opt["dist"], opt["rank"], opt["world_size"]) == (True, True, 1, 2)
    experiment = tmp_path / "experiments" / "run"
    assert opt["path"]["experiments_root"] == str(experiment)
    assert opt["path"]["training_states"] == str(experiment / "training_states")
    train, val = opt["datasets"]["train"], opt["datasets"]["val_2"]
    assert (train["phase"], train["scale"], val["phase"]) == ("train", 4, "val")
    assert train["use_rot"] is True and "mean" not in train and "batch_size_per_gpu" not in val
    assert opt["train"]["optim_g"]["betas"] == [0.9, 0.99]
    train.clear()
    opt["train"]["optim_g"].pop("type")
    assert to_basicsr(options, root=tmp_path)["train"]["optim_g"]["type"] == "Adam"
    assert options.train_set.gt_size == 96


def test_relative_data_is_found_from_anywhere(write, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "gt.lmdb").mkdir()
    monkeypatch.chdir(elsewhere)
    train = to_basicsr(load_options(write(), TrainOptions), root=tmp_path)["datasets"]["train"]
    assert train["dataroot_gt"] == str(tmp_path / "gt.lmdb")
    assert train["dataroot_lq"] == "lq.lmdb"  # nowhere, so left as written


def test_a_test_file_needs_no_training_section(write):
    text = """\
name: set5
scale: 4
datasets:
  test_1: {name: Set5, type: PairedImageDataset, dataroot_gt: a, dataroot_lq: b}
network_g: {type: LRFDN}
path: {pretrain_network_g: w.pth, param_key_g: params_ema}
val: {save_img: false, suffix: x, metrics: {psnr: {type: calculate_psnr, crop_border: 4}}}
"""
    options = load_options(write(text), OptionsForTest)
    opt = to_basicsr(options, root=Path("/r"))
    assert opt["is_train"] is False
    assert opt["path"]["results_root"] == str(Path("/r/results/set5"))
    assert opt["datasets"]["test_1"]["phase"] == "test"
    assert "needed" in faults_of(write(text))  # as a training file


def test_importing_options_imports_neither_torch_nor_basicsr():
    code = "import sys, lrfdn_arch.options; print({'torch', 'basicsr'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


OUTSIDE = """\
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from torch import nn

@ARCH_REGISTRY.register()
class {name}(nn.Module):
    def __init__(self, num_feat: int = 8, upscale: int = 4):
        super().__init__()
"""


def test_files_named_by_imports_register_networks_before_the_checks(write, tmp_path):
    (tmp_path / "outside_nets.py").write_text(OUTSIDE.format(name="OutsideNetwork"))
    file = write(
        GOOD,
        ("name: run", "name: run\nimports: [outside_nets.py]"),
        ("{type: LRFDN, num_feat: 16, num_block: 1}", "{type: OutsideNetwork, num_feat: 16}"),
    )
    options = load_options(file, TrainOptions)
    assert options.imports == (str(tmp_path / "outside_nets.py"),)
    from basicsr.utils.registry import ARCH_REGISTRY

    assert "OutsideNetwork" in ARCH_REGISTRY


def test_faults_of_imports_come_with_all_others(write, tmp_path):
    (tmp_path / "broken.py").write_text("\nimport not_there\n")
    file = write(
        GOOD,
        ("name: run", "name: run\nimports: [gone.py, broken.py, 3]"),
        ("manual_seed", "manual_sed"),
    )
    text = faults_of(file)
    assert "4 faults" in text, text
    for expected in (
        f"line 2, imports:0: gone.py: no such file in {tmp_path}",
        "line 2, imports:1: broken.py cannot be imported: line 2: ModuleNotFoundError: No module",
        "line 2, imports:2: expected a string, found 3",
        "line 6, manual_sed: unknown key",
    ):
        assert expected in text, text


def test_a_key_in_the_wrong_section_is_told_its_place(write):
    file = write(
        GOOD,
        ("manual_seed: 3", "manual_seed: 3\ncrop_border: 4\nval_freq: 5"),
        ("num_feat: 16,", "num_feat: 16, ema_decay: 0.9,"),
        ("  ema_decay: 0.99\n", "  ema_decay: 0.99\n  use_compile: true\n"),
    )
    text = faults_of(file)
    for expected in (
        "line 6, crop_border: unknown here; it belongs under val:metrics",
        "line 7, val_freq: unknown here; it belongs under val",
        "network_g:ema_decay: unknown here; it belongs under train",
        "train:use_compile: unknown here; it belongs at the top level",
    ):
        assert expected in text, text


def test_models_from_elsewhere_have_keys_of_their_own_and_need_no_scale(write):
    file = write(
        GOOD,
        ("LRFDNModel", "VideoRecurrentModel"),
        ("scale: 4\n", ""),
        ("  val_freq", "  flip_seq: false\n  val_freq"),
        ("{type: LRFDN, num_feat: 16, num_block: 1}", "{type: BasicVSR}"),
        ("gt_size: 96", "gt_size: 96\n    num_frame: 15"),
        ("type: PairedLMDBDataset", "type: REDSRecurrentDataset"),
    )
    opt = to_basicsr(load_options(file, TrainOptions), root=Path("/r"))
    assert opt["val"]["flip_seq"] is False
    assert opt["scale"] == 1


def test_force_yml_takes_what_is_not_yaml_as_text(write):
    assert "special characters are not allowed" in faults_of(write(), "name=\x08")
    override = "datasets:val:filename_tmpl={}x4"
    options = load_options(write(), TrainOptions, [override])
    assert options.datasets["val"].filename_tmpl == "{}x4"
    assert "found '[1, 2'" in faults_of(write(), "train:total_iter=[1, 2")


def test_a_name_that_nothing_registers_leads_to_imports(write):
    text = faults_of(write(GOOD, ("{type: LRFDN,", "{type: Zzz,")))
    assert "network_g:type: unknown network; valid are " in text
    assert "'imports' names files and modules that register others, found 'Zzz'" in text


def test_wandb_may_have_an_entity(write):
    section = "logger: {wandb: {project: ~, entity: ~, resume_id: ~}}\n"
    assert load_options(write(GOOD + section), TrainOptions).logger.wandb is not None


BOMB = "name: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "more than 100,000 values, aliases (*) expanded"),
        ("x" * 2**20 + "y", "more than 1,048,576 bytes"),
        ("[" * 10_000, "nested too deeply"),
        ("a: {b: &b {c: 1}}\n" + "<<: [*b, *b]\n" * 2, "<<: is there twice"),
    ],
)
def test_files_that_would_exhaust_memory_are_refused(write, text, expected):
    assert expected in faults_of(write(text))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: run", "name: !!timestamp 2024-11-22", "line 1, column 7: option files have no suc"),
        ("name: run", "name: !!timestamp never", "line 1, column 7: option files have no such tag"),
        ("name: run", "name: !!binary aGk=", "option files have no such tag: !!binary"),
        ("name: run", "name: ../run", "line 1, name: expected a name without slashes"),
        ("name: run", 'name: "r\\0n"', "line 1, name: expected a name without slashes"),
        ("name: a,", "name: ../a,", "datasets:val:name: expected a name without slashes"),
        ("  val_freq", "  suffix: ../x\n  val_freq", "val:suffix: expected a name without slashe"),
        ("num_block: 1", "img_range: .nan", "network_g:img_range: expected a finite number, found"),
        ("num_block: 1", "img_range: 1e999", "network_g:img_range: expected a finite number, foun"),
        ("num_feat: 16", f"num_feat: {10**12}", "LRFDN expects a number of at most 2147483647"),
        ("total_iter: 100", f"total_iter: {10**400}", "expected less than or equal to 9007199254"),
        ("num_feat: 16", "num_feat: 2000000", "network_g: LRFDN would take "),
        ("num_feat: 16", f"num_feat: {2**31 - 8}", "network_g: Storage size calculation overflowe"),
        ("num_feat: 16", "num_feat: 12", "network_g: LRFDB needs num_feat divisible by 8, got 12"),
        (
            "num_block: 1",
            "num_block: 100000",
            "network_g:num_block: expected at most 256, found 10",
        ),
        (
            "name: run",
            "name: run\nimports: [~nosuchuser/nets.py]",
            "imports:0: ~nosuchuser/nets.py: no such file",
        ),
        ("num_block: 1", "num_block: 0", "network_g: LRFDN needs num_block of at least 1, got 0"),
        ("lr: 1e-4", "lr: .inf", "train:optim_g:lr: expected a finite number"),
    ],
)
def test_values_that_would_fail_later_are_refused(write, old, new, expected):
    assert expected in faults_of(write(GOOD, (old, new)))


def test_a_home_folder_that_does_not_exist_is_a_missing_file(write, tmp_path):
    file = write(GOOD + "path: {pretrain_network_g: ~nosuchuser/a.pth}\n")
    opt = to_basicsr(load_options(file, TrainOptions), root=tmp_path)
    with pytest.raises(FileNotFoundError, match="path:pretrain_network_g: ~nosuchuser"):
        check_files(opt)


def test_weights_are_given_by_name_as_on_the_command_line(write, tmp_path):
    file = write(GOOD + "path: {pretrain_network_g: lrfdn_x4}\n")
    found = to_basicsr(load_options(file, TrainOptions), root=tmp_path)["path"]
    assert Path(found["pretrain_network_g"]).name == "lrfdn_x4.safetensors"
    file = write(GOOD + "path: {pretrain_network_g: released:NoSuchNetwork}\n")
    with pytest.raises(FileNotFoundError, match="no released weights are called NoSuchNetwork"):
        to_basicsr(load_options(file, TrainOptions), root=tmp_path)
