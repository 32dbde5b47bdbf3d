"""What a terminal shows while a run goes on."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator

import pytest
from epochs import NOTHING_FOUND, epoch

from tfod_transfer.training.console import Console
from tfod_transfer.training.results import EpochResult
from tfod_transfer.training.run_state import RunState

LOSSES = {"loss": 2.125, "localization": 0.5, "classification": 1.25}


class Terminal(io.StringIO):
    """Standard error that says it is one."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal() -> Iterator[Terminal]:
    with contextlib.redirect_stderr(Terminal()) as stream:
        yield stream


def run(history: list[EpochResult], planned: int, first_step: int = 0, steps_per_epoch: int = 4) -> None:
    """Tells a console of the steps and epochs of a run, from `first_step` on."""
    state = RunState(planned_steps=planned * steps_per_epoch)
    console = Console(lambda: state, steps_per_epoch, batch_size=8)
    for result in history:
        start = max(first_step, result.epoch * steps_per_epoch)
        for step in range(start, (result.epoch + 1) * steps_per_epoch):
            console.on_step(step, LOSSES, 0.1)
        state.history.append(result)
        aps = [each.validation.metrics.ap for each in state.history]
        state.best_epoch = aps.index(max(aps))
        console.on_epoch(result, NOTHING_FOUND)
    console.close()


def test_each_epoch_has_its_four_lines_and_one_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    run([epoch(0, ap=0.2), epoch(1, ap=0.5), epoch(2, ap=0.4)], planned=5)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        *["[Epoch 0]"] * 4, "so far:     best epoch 0 (mAP 0.200)",
        *["[Epoch 1]"] * 4, "so far:     best epoch 1 (mAP 0.500)",
        *["[Epoch 2]"] * 4, "so far:     best epoch 1 (mAP 0.500)",
    ]  # fmt: skip
    assert all(" left, " in line for line in lines if line.startswith("so far"))
    assert printed.err == ""


def test_after_the_last_epoch_no_time_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    run([epoch(0), epoch(1)], planned=2)
    before, last = [line for line in capsys.readouterr().out.splitlines() if line.startswith("so far")]
    assert " left, " in before
    assert " left, " not in last


def test_a_terminal_gets_a_bar_that_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal() as stream:
        run([epoch(0), epoch(1)], planned=2)
    shown = stream.getvalue()
    for words in (r"\[Epoch 0\] \|", r"\[Epoch 1\] \|", "4/4, validating"):
        assert re.search(words, shown), words
    assert shown.split("\r")[-2].strip() == "", "the bar is not wiped"
    assert "[Epoch 0], Speed: 12.500 samples/sec, loss=1.50000000." in capsys.readouterr().out


def test_a_bar_starts_where_a_run_resumes() -> None:
    with terminal() as stream:
        run([epoch(1)], planned=2, first_step=6)
    assert "[Epoch 1] |" in stream.getvalue()
    assert re.search(r"\| 2/4", stream.getvalue())
    assert "0/4" not in stream.getvalue()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_bar_fits_its_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda _: (columns, 24))
    console = Console(lambda: RunState(planned_steps=30_000), 1000, batch_size=16)
    with terminal() as stream:
        for step in range(3990, 3995):
            console.on_step(step, LOSSES, 0.1)
        assert console._bar is not None
        console._bar.refresh()
    shown = stream.getvalue().split("\r")[-1].removesuffix("\x1b[A")
    assert len(shown) <= columns
    assert "995/1000" in shown
    assert "loss 2.125" in shown
    assert ("boxes 0.500, classes 1.250" in shown) == (columns == 120)
    assert re.search(r"images/s, \S+ (s|min|h) left$", shown.rstrip())
