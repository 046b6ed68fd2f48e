"""The progress bar on a terminal and in a log file."""

import io

from lrfdn_arch.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_bar_grow_and_go() -> None:
    terminal = Terminal()
    with progress_bar(2, "set", file=terminal) as bar:
        for name in ("a [1].png", "b.png"):
            bar.set_postfix_str(name)
            bar.update()
    *_, last = terminal.getvalue().rstrip("\r").split("\r")
    assert "a [1].png" in terminal.getvalue()
    assert "set:  50%" in terminal.getvalue()
    assert last.strip() == ""


def test_a_log_gets_one_line_at_the_end_of_short_work() -> None:
    log = io.StringIO()
    with progress_bar(1000, unit="B", file=log) as bar:
        for _ in range(100):
            bar.update(10)
    lines = log.getvalue().strip().split("\r")
    assert len(lines) <= 2
    assert "100%" in lines[-1]
    assert "1.00k/1.00k B" in lines[-1]


def test_fractions_show_a_percentage_and_no_count() -> None:
    terminal = Terminal()
    with progress_bar(3, unit="", file=terminal) as bar:
        bar.update(0.75)
        bar.refresh()
    assert " 25%" in terminal.getvalue()
    assert "0.75" not in terminal.getvalue()


def test_an_unknown_total_is_counted() -> None:
    log = io.StringIO()
    with progress_bar(None, file=log) as bar:
        bar.update(7)
    assert "7image" in log.getvalue()
