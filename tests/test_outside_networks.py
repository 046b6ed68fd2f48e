"""A network in a file outside the package is as good as ours in every command."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from lrfdn_arch import entry
from lrfdn_arch.archs import LRFDN, build_network
from lrfdn_arch.cli import main
from lrfdn_arch.evaluation.results import read_results
from lrfdn_arch.weights import load_network

SOURCE = '''
import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from lrfdn_arch.archs import LRFDN
from lrfdn_arch.archs.attention import ESA


@ARCH_REGISTRY.register()
class SmallNet{number}(nn.Module):
    """A convolution, attention and a pixel shuffle on top of nearest-neighbor enlargement."""

    def __init__(self, num_feat: int = 8, upscale: int = 2) -> None:
        super().__init__()
        self.upscale = upscale
        self.first = nn.Conv2d(3, num_feat, 3, padding=1)
        self.attention = ESA(num_feat)
        self.last = nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = F.pixel_shuffle(self.last(self.attention(self.first(x))), self.upscale)
        return F.interpolate(x, scale_factor=self.upscale, mode="nearest") + residual


@ARCH_REGISTRY.register()
class MyLRFDN{number}(LRFDN):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 0.5
'''
_numbers = iter(range(100))

TRAIN = """
name: outside
model_type: LRFDNModel
scale: 2
num_gpu: 0
manual_seed: 0
imports: [my_arch.py]
datasets:
  train:
    name: T
    type: PairedImageDataset
    dataroot_gt: HR
    dataroot_lq: LR
    io_backend: {{type: disk}}
    gt_size: 32
    use_hflip: true
    use_rot: true
    batch_size_per_gpu: 1
    num_worker_per_gpu: 0
  val:
    name: V
    type: PairedImageDataset
    dataroot_gt: HR
    dataroot_lq: LR
    io_backend: {{type: disk}}
network_g: {{type: {type}, num_feat: 8, upscale: 2}}
path: {{}}
train:
  ema_decay: 0.9
  optim_g: {{type: Adam, lr: 1e-3}}
  scheduler: {{type: MultiStepLR, milestones: [100]}}
  total_iter: 2
  pixel_opt: {{type: L1Loss}}
val:
  val_freq: 2
  metrics: {{psnr: {{type: calculate_psnr, crop_border: 2}}}}
logger: {{print_freq: 1, save_checkpoint_freq: 2}}
"""
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder with image pairs, and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    image = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 2)
    for folder, part in (("HR", image), ("LR", image[::2, ::2])):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f"{folder}/image.png", part)

    def command(*arguments: str) -> str:
        capsys.readouterr()
        code = entry.run(main, [*arguments, "--debug"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out + printed.err

    return command


@pytest.fixture
def name(tmp_path: Path) -> str:
    """The suffix of the classes in my_arch.py, new for each test: a registry never forgets."""
    number = next(_numbers)
    (tmp_path / "my_arch.py").write_text(SOURCE.replace("{number}", str(number)))
    return str(number)


def trained(run: Run, network: str) -> str:
    Path("train.yml").write_text(TRAIN.format(type=network))
    run("train", "-opt", "train.yml", "--force_yml", f"name={network}")
    return f"experiments/debug_{network}/models/net_g_latest.pth"


def test_a_network_in_a_file_goes_through_every_command(run: Run, name: str) -> None:
    network = f"SmallNet{name}"
    weights = trained(run, network)
    more = ("--import", "my_arch.py")
    assert network in run("complexity", network, "LRFDN", "--size", "3", "24", "24", *more)
    option = "experiments/debug_" + network + "/test.yml"
    assert "psnr" in run("test", "-opt", option)

    judged = ("--lr", "LR", "--hr", "HR", "--no-fair-timing", "--device", "cpu")
    run("challenge", "--model", weights, *judged, "--out", "judged", *more)
    result = read_results(Path("judged")).networks[0]
    assert (result.network, result.data_range) == (network, 1.0)
    assert result.counts.params == sum(
        p.numel() for p in load_network(weights).network.parameters()
    )
    run("compare", "judged", "--out", "report")
    assert network in Path("report/index.html").read_text()

    run("upscale", "LR/image.png", "--weights", weights, "--out", "sr", *more)
    run("upscale", "LR/image.png", "--weights", weights, "--out", "tiled", "--tile", "48",
        "--overlap", "30", *more)  # fmt: skip
    sr, tiled = (cv2.imread(f"{folder}/image_x2.png") for folder in ("sr", "tiled"))
    made = cv2.imread(f"judged/images/{network}/image.png")
    assert sr is not None
    assert tiled is not None
    assert made is not None
    assert np.array_equal(sr, made)
    assert sr.shape == tiled.shape

    lq = torch.rand(1, 3, 20, 31)
    expected = load_network(weights).network(lq)
    run("export", "onnx", "--weights", weights, "--out", "a.onnx", *more)
    session = onnxruntime.InferenceSession("a.onnx", providers=["CPUExecutionProvider"])
    torch.testing.assert_close(
        torch.from_numpy(session.run(None, {"lq": lq.numpy()})[0]), expected, atol=1e-5, rtol=1e-4
    )
    run("export", "torchscript", "--weights", weights, "--out", "a.pt", *more)
    torch.testing.assert_close(torch.jit.load("a.pt")(lq), expected, atol=1e-5, rtol=1e-4)
    run("export", "safetensors", "--weights", weights, "--out", "a.safetensors", *more)
    assert torch.equal(load_network("a.safetensors").network(lq), expected)


def test_the_kit_gets_one_file_of_an_outside_network(run: Run, name: str) -> None:
    weights = trained(run, f"SmallNet{name}")
    run(
        "submit",
        "--kit",
        "--team",
        "7",
        "--model",
        weights,
        "--out",
        "kit",
        "--import",
        "my_arch.py",
    )
    source = Path(f"kit/models/team07_SmallNet{name}.py").read_text()
    assert "lrfdn_arch." not in source.split('"""', 2)[2]
    assert "basicsr" not in source.split('"""', 2)[2]
    space: dict[str, type[nn.Module]] = {}
    exec(source, space)
    network = space[f"SmallNet{name}"](num_feat=8).eval()
    network.load_state_dict(torch.load(f"kit/model_zoo/team07_smallnet{name}.pth"))
    lq = torch.rand(1, 3, 20, 31)
    assert torch.equal(network(lq), load_network(weights).network(lq))


def test_a_subclass_with_the_same_weight_names_is_judged_as_itself(run: Run, name: str) -> None:
    weights = trained(run, f"MyLRFDN{name}")
    loaded = load_network(weights)
    assert loaded.architecture.name == type(loaded.network).__name__ == f"MyLRFDN{name}"
    parent = LRFDN(num_feat=8, upscale=2).eval()
    parent.load_state_dict(loaded.network.state_dict())
    lq = torch.rand(1, 3, 20, 20)
    assert torch.allclose(loaded.network(lq), parent(lq) * 0.5)


def test_a_class_that_is_not_registered_is_named_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"params": LRFDN(num_feat=8).state_dict(), "network_g": {"type": "Unheard"}}
    torch.save(content, tmp_path / "a.pth")
    assert entry.run(main, ["export", "onnx", "--weights", str(tmp_path / "a.pth")]) == 2
    error = capsys.readouterr().err
    assert "holds a Unheard" in error
    assert "--import" in error


EDSR = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1,
        "upscale": 2}  # fmt: skip
SWINIR = {"type": "SwinIR", "upscale": 2, "img_size": 16, "window_size": 8, "depths": [1],
          "embed_dim": 12, "num_heads": [2], "upsampler": "pixelshuffledirect"}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("options", [EDSR, SWINIR], ids=["EDSR", "SwinIR"])
def test_networks_of_basicsr_are_judged_and_run(run: Run, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = build_network(options).eval()
    torch.save(network.state_dict(), "net.pth")
    section = json.dumps(options)
    judged = ("--lr", "LR", "--hr", "HR", "--no-fair-timing", "--device", "cpu", "--no-images")
    run("challenge", "--model", "net.pth", "--network", section, *judged, "--out", "judged")
    assert read_results(Path("judged")).networks[0].network == options["type"]
    run("upscale", "LR/image.png", "--weights", "net.pth", "--network", section, "--out", "sr")
    lr = cv2.imread("LR/image.png")
    assert lr is not None
    lq = torch.from_numpy(lr[..., ::-1].transpose(2, 0, 1).copy())[None] / 255
    height, width = lq.shape[2:]
    padded = nn.functional.pad(lq, (0, -width % 8, 0, -height % 8), mode="reflect")
    expected = network(padded)[0, :, : 2 * height, : 2 * width]
    expected = expected.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    made = cv2.imread("sr/image_x2.png")
    assert made is not None
    difference = np.abs(made[..., ::-1].astype(int) - expected.astype(int))
    assert options["type"] == "EDSR" or difference.max() <= 1  # EDSR is not padded
    if options["type"] == "EDSR":  # it needs no padding, which the exporter would fix
        run("export", "onnx", "--weights", "net.pth", "--network", section, "--out", "a.onnx")


SWINIR_FILE = (
    TRAIN.format(type="SwinIR")
    .replace("LRFDNModel", "SwinIRModel")
    .replace("imports: [my_arch.py]\n", "")
    .replace(
        "num_feat: 8, upscale: 2",
        "upscale: 2, img_size: 16, window_size: 8, depths: [1], embed_dim: 12, num_heads: [2], "
        "upsampler: pixelshuffledirect",
    )
)


def test_a_model_with_its_own_test_is_validated_through_it(run: Run) -> None:
    Path("train.yml").write_text(SWINIR_FILE)
    printed = run("train", "-opt", "train.yml")
    assert "iter 2 V: psnr" in printed
    assert sys.modules["basicsr.models.swinir_model"]
