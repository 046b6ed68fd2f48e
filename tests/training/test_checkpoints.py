"""Checkpoints: whole or not there, few, the best kept, BasicSR's and ours interchangeable."""

import os
import re
import shutil
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from training_runs import differing, options, run, weights, write

from lrfdn_arch import entry
from lrfdn_arch.commands.train import main
from lrfdn_arch.options import TrainOptions, load_options
from lrfdn_arch.training.checkpoint import (
    RunFolder,
    load_state,
    on_cpu,
    save_torch,
)
from lrfdn_arch.training.validation import update_best

pytestmark = pytest.mark.usefixtures("plain_runs")


def test_a_full_disk_ends_the_run_and_leaves_the_checkpoints(data, tmp_path, small_files_only):
    opt = options(data, logger__print_freq=100)
    assert run(opt, tmp_path) == 0
    before = weights(tmp_path, 8)
    with small_files_only(), pytest.raises(OSError, match="Make room or allow writing"):
        run(options(data, train__total_iter=12), tmp_path, "--auto_resume")
    states = tmp_path / "experiments/run/training_states"
    assert sorted(p.name for p in states.iterdir()) == ["4.state", "8.state"]
    assert load_state(states / "8.state")["iter"] == 8
    assert not differing(before, weights(tmp_path, 8))


@pytest.mark.slow
def test_a_full_disk_is_one_line_that_names_a_file_whichever_it_stops(
    data, tmp_path, capsys, mount_disk
):
    disk = mount_disk("size=96k")
    file, stopped = write(options(data), tmp_path / "o.yml"), set()
    for filled in (0, 72, 80, 84, 88, 92):
        (disk / "fill").write_bytes(bytes(filled * 1024))
        code = entry.run(lambda _: main(["-opt", str(file)], root=disk), [])
        (said,) = capsys.readouterr().err.splitlines()
        found = re.match(rf"error: cannot write {disk}/(\S+): No space left on device", said)
        assert code == 2 and found, said
        stopped.add(found[1].rpartition(".")[2])
        assert all(p.stat().st_size for p in disk.rglob("*.yml")), "an empty option file"
        shutil.rmtree(disk / "experiments")
    assert stopped >= {"pth", "jsonl", "log", "yml"}, stopped


def test_the_last_few_checkpoints_and_the_best_are_kept(data, tmp_path):
    opt = options(data, logger__save_checkpoint_freq=1, logger__keep_last=2, val__val_freq=2)
    assert run(opt, tmp_path) == 0
    experiment = tmp_path / "experiments/run"
    assert sorted(p.name for p in (experiment / "training_states").iterdir()) == [
        "7.state",
        "8.state",
    ]
    assert sorted(p.name for p in (experiment / "models").iterdir()) == [
        "net_g_7.pth",
        "net_g_8.pth",
        "net_g_best.pth",
        "net_g_latest.pth",
    ]
    best = load_state(experiment / "training_states/8.state")["best"]["noise_val"]["psnr"]
    assert best["iter"] == 8  # it learns; so the best are the last
    assert not differing(weights(tmp_path, "best"), weights(tmp_path, 8))


@pytest.mark.parametrize(("better", "best_at"), [("higher", [0, 1]), ("lower", [0])])
def test_the_best_is_by_the_chosen_metric_whichever_way_is_up(data, tmp_path, better, best_at):
    metric = {"type": "calculate_psnr", "crop_border": 2}
    metrics = {"other": metric, "m": metric | {"better": better}}
    opt = options(data, val__metrics=metrics, val__best_metric="m")
    read, best = load_options(write(opt, tmp_path / "o.yml"), TrainOptions), {}
    improved = [
        iteration
        for iteration, value in enumerate([3.0, 5.0, 4.0, 5.0, float("nan")])
        if update_best(best, {"m": value, "other": iteration}, read.val, iteration)
    ]
    assert improved == best_at
    assert best["m"] == {"val": [3.0, 5.0][best_at[-1]], "iter": best_at[-1]}


def test_a_pickle_that_runs_code_is_refused_with_an_explanation(data, tmp_path):
    class Bait:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"params": Bait()}, tmp_path / "bait.pth")
    torch.save({"iter": 1, "optimizers": [Bait()]}, tmp_path / "bait.state")
    with pytest.raises(ValueError, match="would run code"):
        run(options(data, path__pretrain_network_g=str(tmp_path / "bait.pth")), tmp_path)
    with pytest.raises(ValueError, match="would run code when read"):
        run(options(data, path__resume_state=str(tmp_path / "bait.state")), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network_or_scale_are_refused(data, tmp_path):
    assert run(options(data), tmp_path) == 0
    file = str(tmp_path / "experiments/run/models/net_g_8.pth")
    other = options(data, name="other", network_g__num_feat=16, path__pretrain_network_g=file)
    with pytest.raises(ValueError, match=r"seems to hold LRFDN x2 \(8 channels, 1 blocks\)"):
        run(other, tmp_path)
    assert not (tmp_path / "experiments/other").exists()


def test_pretrained_weights_are_where_a_run_starts(data, tmp_path):
    assert run(options(data), tmp_path) == 0
    file = str(tmp_path / "experiments/run/models/net_g_8.pth")
    fine = options(
        data,
        name="fine",
        path={"pretrain_network_g": file, "param_key_g": "params"},
        train__optim_g={"type": "SGD", "lr": 1e-12},
        train__total_iter=1,
    )
    assert run(fine, tmp_path) == 0
    started, expected = weights(tmp_path, 1, "fine"), weights(tmp_path, 8)
    for name in (name for name in started if name.startswith("params.")):
        weight = started[name]
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6, msg=name)


def test_basicsr_loads_our_checkpoint_and_we_load_its(data, tmp_path):
    from basicsr.models import build_model

    from lrfdn_arch.options import TrainOptions, load_options, to_basicsr

    assert run(options(data), tmp_path) == 0
    models = tmp_path / "experiments/run/models"
    opt = to_basicsr(load_options(tmp_path / "options_of_test.yml", TrainOptions), root=tmp_path)
    opt["model_type"] = "SRModel"
    opt["path"] |= {"pretrain_network_g": str(models / "net_g_8.pth"), "param_key_g": "params"}
    theirs = build_model(opt)
    ours = weights(tmp_path, 8)
    for kind, network in (("params", theirs.net_g), ("params_ema", theirs.net_g_ema)):
        loaded = {f"{kind}.{name}": weight for name, weight in network.state_dict().items()}
        assert not differing(loaded, {k: w for k, w in ours.items() if k.startswith(f"{kind}.")})
    (models / "net_g_100.pth").unlink(missing_ok=True)
    theirs.save(epoch=0, current_iter=100)  # straight onto the path, as BasicSR does
    back = options(data, name="back", path__pretrain_network_g=str(models / "net_g_100.pth"))
    assert run(back | {"train": back["train"] | {"total_iter": 1}}, tmp_path) == 0


def test_a_state_of_basicsr_is_gone_on_with(data, tmp_path):
    from basicsr.models import build_model
    from training_runs import write

    from lrfdn_arch.options import TrainOptions, load_options, to_basicsr

    file = write(options(data, model_type="SRModel"), tmp_path / "o.yml")
    opt = to_basicsr(load_options(file, TrainOptions), root=tmp_path)
    for key in ("models", "training_states"):
        Path(opt["path"][key]).mkdir(parents=True)
    theirs = build_model(opt)
    theirs.feed_data({"lq": torch.rand(4, 3, 16, 16), "gt": torch.rand(4, 3, 32, 32)})
    for iteration in (1, 2, 3):
        theirs.optimize_parameters(iteration)
    theirs.save(epoch=0, current_iter=3)
    assert run(options(data), tmp_path, "--auto_resume") == 0
    state = load_state(tmp_path / "experiments/run/training_states/8.state")
    assert state["sampler"]["position"] == 8 * 4
    step = next(iter(state["optimizers"][0]["state"].values()))["step"]
    assert float(step) == 8  # three of theirs, five of ours


def test_tensors_move_to_the_cpu_and_containers_keep_their_kind():
    value = {"a": OrderedDict(b=torch.ones(2)), "c": [Counter({5: 2})], "d": (1, "x", None)}
    moved = on_cpu(value)
    assert type(moved["a"]) is OrderedDict
    assert moved["c"] == [Counter({5: 2})]
    assert moved["d"] == (1, "x", None)


def auto_resumed(root: Path) -> RunFolder:
    paths = dict.fromkeys(("experiments_root", "models", "training_states"), str(root / "run"))
    opt = {"path": paths | {"resume_state": None}, "root_path": str(root), "name": "run"}
    return RunFolder(opt | {"logger": {}, "auto_resume": True})


def test_a_save_that_was_killed_is_no_earlier_run(tmp_path):
    folder = auto_resumed(tmp_path)
    folder.states.mkdir()
    (folder.states / ".d1711d1e.unfinished.state").touch()
    assert folder.prepare(None) == []
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_changed_bit_is_noticed_wherever_it_is(tmp_path):
    folder = auto_resumed(tmp_path)
    folder.states.mkdir()
    file = folder.states / "1.state"
    saved = {"iter": 1, "optimizers": [], "w": torch.rand(1000)}
    save_torch(file, saved)
    content = file.read_bytes()
    noticed = 0
    for place in range(0, len(content), 61):
        changed = bytearray(content)
        changed[place] ^= 4
        file.write_bytes(changed)
        state, warnings = folder.state_to_resume()
        if state is None:
            assert str(file) in warnings[0]
            noticed += 1
        else:  # padding and time stamps, which nothing reads
            assert torch.equal(load_state(file)["w"], saved["w"])
    assert noticed > 4000 / 61  # the bytes of the weights alone
