"""Kits: a made-up one with the habits of the organisers' and their entries."""

import textwrap
from pathlib import Path

import pytest
import torch
from evaluation.challenge_fixtures import write_set

from lrfdn_arch.cli import main
from lrfdn_arch.entry import run
from lrfdn_arch.evaluation.kits.client import KitError, KitNetwork, Limits, teams_of
from lrfdn_arch.evaluation.results import read_results

CPU = torch.device("cpu")
LIMITS = Limits(seconds=60, memory_bytes=8 * 1024**3)
NETWORK = """
    import torch
    from torch import nn

    class Repeat(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 48, 3, padding=1)
            self.shuffle = nn.PixelShuffle(4)
            self.register_buffer("mean", torch.zeros(1, 3, 1, 1, device="cuda"))
            self.cuda()(torch.randn(1, 3, 8, 8).cuda())  # warm up before the clock
            torch.cuda.synchronize()

        def forward(self, x):
            return self.shuffle(self.conv(x - self.mean.to("cuda:0")))
    """
DEMO = """
    import os, socket, time
    import torch
    from utils.words import NAME

    def select_model(args, device):
        model_id = args.model_id
        if model_id == 0:
            from models.team00_Repeat import Repeat
            name, data_range = f"{model_id:02}_{NAME}", 255.0
            model = Repeat().cuda()
            path = os.path.join("model_zoo", "team00_Repeat.pth")
            model.load_state_dict(torch.load(path), strict=True)
        elif model_id == 1:
            model = torch.load("model_zoo/whole_module.pt")["model"]
            name, data_range = "  01 Whole/module", 1.0
        elif model_id == 2:
            import a_module_that_is_not_installed
        elif model_id == 3:
            os.abort()
        elif model_id == 4:
            time.sleep(1000)
        elif model_id == 5:
            open(os.environ["OUTSIDE"], "w").write("x")
        elif model_id == 6:
            socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), timeout=5)
        elif model_id == 7:
            held = bytearray(64 * 1024**3)
        elif model_id == 8:
            raise RuntimeError("first line\\nsecond \\x1b[31m line")
        elif model_id == 9:
            os.write(1, b'{"bytes": -1}\\nnot an answer')
            print("noise")
            open("model_zoo/written_into_the_kit", "w")
        # elif model_id == 99:
        else:
            raise NotImplementedError(model_id)
        tile = None
        return model.to(device), name, data_range, tile

    def forward(img_lq, model, tile=None, tile_overlap=32, scale=4):
        return model(img_lq)
    """


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kits") / "NTIRE_KIT"
    files = {
        "test_demo.py": DEMO,
        "models/team00_Repeat.py": NETWORK,
        "utils/words.py": "NAME = 'Repeat'",
        "model_zoo/note.txt": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    weight = torch.zeros(48, 3, 3, 3)
    for channel in range(48):
        weight[channel, channel // 16, 1, 1] = 1  # repeats each pixel
    state = {"conv.weight": weight, "conv.bias": torch.zeros(48), "mean": torch.zeros(1, 3, 1, 1)}
    torch.save(state, folder / "model_zoo/team00_Repeat.pth")
    whole = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 1), torch.nn.PixelShuffle(4))
    torch.save({"model": whole}, folder / "model_zoo/whole_module.pt")
    return folder


@pytest.fixture
def failing(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Load a team, and return the message of its failure."""

    def load(team: int, limits: Limits = LIMITS) -> str:
        monkeypatch.setenv("OUTSIDE", str(tmp_path / "outside"))
        network = KitNetwork(kit, team, CPU, limits)
        with pytest.raises(KitError) as error:
            network.start()
        assert network._process is None
        assert "\n" not in str(error.value)
        return str(error.value)

    return load


def test_the_teams_are_read_without_running_the_kit(kit: Path, tmp_path: Path) -> None:
    assert teams_of(kit) == list(range(10))
    with pytest.raises(FileNotFoundError, match=r"expected a clone of a kit, with test_demo\.py"):
        teams_of(tmp_path)


def test_a_network_that_calls_cuda_runs_on_the_cpu_with_counts_and_range(kit: Path) -> None:
    network = KitNetwork(kit, 0, CPU, LIMITS)
    network.start()
    lq = torch.rand(1, 3, 6, 5) * 255
    torch.testing.assert_close(
        network(lq), lq.repeat_interleave(4, 2).repeat_interleave(4, 3), rtol=0, atol=1e-4
    )
    assert network.milliseconds > 0
    counts = network.counts
    assert (counts.params, counts.activations, counts.convolutions) == (1344, 48 * 65536, 1)
    found = network.description
    assert (found["name"], found["network"], found["data_range"]) == ("00_Repeat", "Repeat", 255)
    assert Path(found["files"][0]).name == "team00_Repeat.pth"
    network.close()
    assert network(lq).shape == (1, 3, 24, 20)  # started again
    network.close()


@pytest.mark.slow
def test_each_failure_is_one_line(failing, kit: Path, tmp_path: Path) -> None:
    assert failing(2).startswith("ModuleNotFoundError: No module named 'a_module_that")
    assert failing(3) == "its process ended: signal SIGABRT"
    assert failing(4, Limits(5, LIMITS.memory_bytes)) == "no answer within 5 s"
    assert failing(8) == "RuntimeError: first line"


@pytest.mark.slow
@pytest.mark.skipif("sys.platform != 'linux'")
def test_a_kit_can_neither_write_outside_nor_use_the_network_nor_take_all_memory(
    failing, kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("PORT", str(server.getsockname()[1]))
        assert failing(5).startswith("PermissionError")
        assert not (tmp_path / "outside").exists()
        assert failing(6).startswith(("PermissionError", "OSError", "ConnectionRefusedError"))
        assert failing(7).startswith("MemoryError")
        assert failing(9).startswith("PermissionError")
        assert not (kit / "model_zoo/written_into_the_kit").exists()


@pytest.mark.slow
def test_networks_of_a_kit_are_judged_beside_ours(
    kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_set(tmp_path / "data", {"a": (64, 48), "b": (48, 40)}, scale=4)
    command = ["challenge", "--lr", str(data / "Tiny_LR"), "--hr", str(data / "Tiny_HR")]
    command += ["--model", "ours=lrfdn_x4", "--kit", str(kit), "--team", "0", "1", "2"]
    command += ["--device", "cpu", "--timing-size", "16", "16", "--timing-repeats", "2"]
    out = tmp_path / "results"
    assert main([*command, "--out", str(out), "--trust-kit"]) == 0
    results = read_results(out)
    assert [n.label for n in results.networks] == ["ours", "00_Repeat", "01_Whole_module"]
    repeat = results.networks[1]
    assert repeat.network == "Repeat, NTIRE_KIT"
    assert repeat.weights.file == "team00_Repeat.pth"
    assert repeat.images[0].psnr_rgb is not None
    assert len(repeat.fair_timings[0].samples_ms) == 2
    assert (out / "images/00_Repeat/a.png").is_file()
    assert results.failures == {
        "NTIRE_KIT, team 2": "ModuleNotFoundError: No module named 'a_module_that_is_not_installed'"
    }
    assert "not evaluated: NTIRE_KIT, team 2: ModuleNotFoundError" in capsys.readouterr().out
    assert main(["compare", str(out), "--out", str(tmp_path / "report")]) == 0


@pytest.mark.slow
def test_a_kit_that_the_system_cannot_confine_is_reported(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = KitNetwork.start

    def start_unconfined(network: KitNetwork) -> None:
        start(network)
        network.description["open"] = ["files", "network"]

    monkeypatch.setattr(KitNetwork, "start", start_unconfined)
    data = write_set(tmp_path / "data", {"a": (32, 32)}, scale=4)
    command = ["challenge", "--lr", str(data / "Tiny_LR"), "--kit", str(kit), "--team", "0"]
    command += ["--trust-kit", "--device", "cpu", "--no-fair-timing", "--no-images"]
    assert main([*command, "--out", str(tmp_path / "results")]) == 0
    assert "00_Repeat ran without limits on files, network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kit", "KIT"], "runs code that is not ours: read the kit, then repeat the command"),
        (["--kit", "KIT", "--team", "77", "--trust-kit"], "--team 77: "),
        ([], "specify networks with --model LABEL=FILE or --kit FOLDER"),
    ],
)
def test_the_command_asks_before_it_runs_foreign_code(
    kit: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(kit) if option == "KIT" else option for option in options]
    assert run(main, ["challenge", "--lr", "x", "--out", "y", *given]) == 2
    assert message in capsys.readouterr().err


def test_teams_belong_to_the_kit_before_them() -> None:
    from lrfdn_arch.cli import build_parser

    parse = build_parser().parse_args
    command = ["challenge", "--out", "y", "--kit", "A", "--team", "1", "2", "--kit", "B", "--all"]
    assert parse(command).kit == [(Path("A"), [1, 2]), (Path("B"), [])]
    with pytest.raises(SystemExit):
        parse(["challenge", "--out", "y", "--team", "1"])
