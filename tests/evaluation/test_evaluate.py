"""One folder per evaluation: it goes on where it stopped and is never replaced silently."""

import json
from pathlib import Path

import pytest
import torch
from challenge_fixtures import write_set, write_weights

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.evaluation import measure
from lrfdn_arch.evaluation.competitor import load_competitors
from lrfdn_arch.evaluation.results import Results, read_results
from lrfdn_arch.locks import locked

SIZES = {"a": (40, 48), "b": (36, 44), "c": (50, 42)}


class Workplace:
    """A tiny set and tiny weights, and the command over them."""

    def __init__(self, folder: Path) -> None:
        self.data = write_set(folder / "data", SIZES)
        self.weights = write_weights(folder)
        self.folder = folder

    def run(self, out: str, *more: str) -> Results:
        models = [f"--model={label}={file}" for label, file in self.weights.items()]
        command = ["challenge", "--data", str(self.data), "--set", "Tiny", *models]
        assert main([*command, "--no-fair-timing", "--out", str(self.folder / out), *more]) == 0
        return read_results(self.folder / out)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def scores(results: Results) -> list[object]:
    return [
        [image.model_copy(update={"runtime_ms": None}) for image in network.images]
        for network in results.networks
    ]


@pytest.mark.slow
def test_an_interrupted_evaluation_goes_on_and_gives_the_same_result(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = workplace.run("whole")
    timed, calls = measure.timed, []

    def stop_at_the_fifth(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return timed(*arguments)

    monkeypatch.setattr(measure, "timed", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        workplace.run("stopped")
    assert not (workplace.folder / "stopped/results.json").exists()
    journal = workplace.folder / "stopped/unfinished/RFDN.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"score": {"na')  # cut while writing
    stopped = workplace.run("stopped")
    assert len(calls) == 5 + 2, "the four finished images are not run again"
    assert scores(stopped) == scores(whole)
    assert [n.kit_timing.interruptions for n in stopped.networks] == [0, 1]
    assert [n.kit_timing.interruptions for n in whole.networks] == [0, 0]
    files = [
        sorted(p.relative_to(folder) for p in folder.rglob("*"))
        for folder in (workplace.folder / "whole", workplace.folder / "stopped")
    ]
    assert files[0] == files[1]
    for file in (workplace.folder / "whole").rglob("*.png"):
        same = workplace.folder / "stopped" / file.relative_to(workplace.folder / "whole")
        assert same.read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_an_unfinished_evaluation_of_other_weights_is_not_resumed(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lrfdn_arch.evaluation.evaluate.judge_bicubic", stop)
        with pytest.raises(KeyboardInterrupt):
            workplace.run("out")
    state = torch.load(workplace.weights["LRFDN"], weights_only=True)
    torch.save({name: t + 1 for name, t in state.items()}, workplace.weights["LRFDN"])
    with pytest.raises(ValueError, match="a different unfinished evaluation: weights was"):
        workplace.run("out")
    workplace.run("out", "--overwrite")


@pytest.mark.slow
def test_a_finished_evaluation_is_replaced_only_on_request(workplace: Workplace) -> None:
    workplace.run("out")
    with pytest.raises(FileExistsError, match="contains a finished evaluation"):
        workplace.run("out")
    workplace.run("out", "--overwrite", "--no-images")
    assert not (workplace.folder / "out/images").exists()


def test_a_mistake_is_a_message_and_an_exit_code(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    workplace.run("out")
    capsys.readouterr()
    command = ["challenge", "--data", str(workplace.data), "--set", "Tiny", "--out"]
    model = f"--model=LRFDN={workplace.weights['LRFDN']}"
    assert entry.run(main, [*command, str(workplace.folder / "out"), model]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "finished evaluation" in error
    assert "Traceback" not in error


def test_a_folder_of_other_things_is_left_alone(workplace: Workplace) -> None:
    diary = workplace.folder / "out/images/diary.txt"
    diary.parent.mkdir(parents=True)
    diary.write_text("dear diary")
    for more in ([], ["--overwrite"]):
        with pytest.raises(FileExistsError, match=r"not empty \(images\) and does not contain"):
            workplace.run("out", *more)
    assert diary.read_text() == "dear diary"


def test_results_read_back_equal_and_other_formats_are_refused(workplace: Workplace) -> None:
    results = workplace.run("out")
    file = workplace.folder / "out/results.json"
    assert Results.model_validate_json(results.model_dump_json()) == results
    content = json.loads(file.read_text())
    content["protocol"]["scale"] = "four"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"expected results in format(.|\n)*protocol.scale"):
        read_results(workplace.folder / "out")
    with pytest.raises(FileNotFoundError, match=r"contains no results\.json"):
        read_results(workplace.folder)


def test_the_environment_is_recorded(workplace: Workplace) -> None:
    environment = workplace.run("out").environment
    assert environment.torch == torch.__version__
    assert environment.cpu
    assert environment.threads == torch.get_num_threads()


def test_infinite_psnr_survives_the_file() -> None:
    from lrfdn_arch.evaluation.results import ImageScore

    score = ImageScore(name="a", psnr_rgb=float("inf"))
    assert "Infinity" in score.model_dump_json()
    assert ImageScore.model_validate_json(score.model_dump_json()) == score


def test_a_training_checkpoint_is_judged_by_its_ema_or_on_request_raw(workplace: Workplace) -> None:
    state = torch.load(workplace.weights["LRFDN"], weights_only=True)
    ema = {name: t * 0.5 for name, t in state.items()}
    file = workplace.folder / "net_g_100.pth"
    torch.save({"params": state, "params_ema": ema}, file)
    for key, expected in ((None, ema), ("params", state), ("params_ema", ema)):
        (competitor,) = load_competitors([f"mine={file}"], key)
        found = competitor.network.state_dict()
        assert all(torch.equal(found[name], t) for name, t in expected.items()), key
        assert competitor.weights.released is None


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["LRFDN={RFDN}"], r"the file contains RFDN x2 .*, not LRFDN"),
        (["a={RFDN}", "a={LRFDN}"], "need different labels, got a, a"),
        (["a={RFDN}", "b={x4}"], "must have the same scale, got a x2, b x4"),
        (["../a={RFDN}"], r"'../a' is not a valid label"),
        (["HR={RFDN}"], "'HR' is not a valid label"),
        (["a={stranger}"], "holds the weights of no network known here"),
        (["a={RFDN}.absent"], "no weights file at"),
    ],
)
def test_wrong_weights_and_labels_are_named(
    workplace: Workplace, models: list[str], message: str
) -> None:
    files = {**workplace.weights, "x4": write_weights(workplace.folder, 4)["LRFDN"]}
    files["stranger"] = workplace.folder / "stranger.pth"
    torch.save(torch.nn.Conv2d(3, 3, 3).state_dict(), files["stranger"])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_competitors([model.format(**files) for model in models])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --data FOLDER or --lr"),
        (["--data", "x", "--lr", "y"], "either --data FOLDER or --lr"),
        (["--data", "x", "--hr", "y"], "--hr requires --lr"),
        (["--lr", "x", "--device", "mps:9"], "device mps:9 is not supported"),
        (["--lr", "x", "--timing-repeats", "0"], "positive repeats"),
    ],
)
def test_arguments_that_make_no_sense_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main(["challenge", "--model", "x.pth", "--out", "out", *arguments])


def test_two_evaluations_into_one_folder_are_not_mixed(workplace: Workplace) -> None:
    out = workplace.folder / "shared_out"
    with (
        locked(out, "choose another --out"),
        pytest.raises(BlockingIOError, match=r"is in use by .* choose another --out"),
    ):
        workplace.run("shared_out")
    assert workplace.run("shared_out").networks
