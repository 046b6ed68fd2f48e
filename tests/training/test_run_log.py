"""What the log says of a run that goes wrong."""

import pytest

from lrfdn_arch.training import run_logger
from lrfdn_arch.training.run_logger import RunLogger


def test_an_exploding_loss_is_said_once_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    log = RunLogger(start=0, total=1000)
    losses = [0.2, 0.04, 0.05, 0.11, 7e6, 6e4, 0.06, 3.0]
    for number, loss in enumerate(losses, start=1):
        log.training(100 * number, 1.0, 4e-3, {"l_pix": loss, "grad_norm": 1e9})
    said = [line for line in capsys.readouterr().out.splitlines() if "times its lowest" in line]
    assert [line.partition(":")[0] for line in said] == ["iter 500", "iter 800"]
    assert "the loss is 1.75e+08 times its lowest" in said[0]
    assert "net_g_best.pth" in said[0] and "train:optim_g:lr" in said[0]


def test_a_slow_first_iteration_is_no_measure_of_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(run_logger.time, "perf_counter", lambda: now)
    log = RunLogger(start=0, total=1000)
    for iteration in range(1, 101):
        now += 60.0 if iteration == 1 else 1.0
        log.tick(iteration)
    log.training(100, 1.0, 4e-3, {"l_pix": 0.1})
    assert "15:00 left" in capsys.readouterr().out.splitlines()[-1]
