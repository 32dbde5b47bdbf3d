"""The course of a run: best epoch, early stopping, signals, time budgets, going on from a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from epochs import NOTHING_FOUND

from tfod_transfer import errors, hyperparameters
from tfod_transfer.evaluation.coco_metrics import CocoMetrics, ImageDetections
from tfod_transfer.training import run as run_module
from tfod_transfer.training.checkpoints import RunCheckpoints
from tfod_transfer.training.interruption import StopRequests
from tfod_transfer.training.loop import StepOutcome
from tfod_transfer.training.pace import Pace
from tfod_transfer.training.results import EpochResult, TrainingResult, Validation
from tfod_transfer.training.run import Run
from tfod_transfer.training.run_identity import RunIdentity
from tfod_transfer.training.strategy import Devices

STEPS_PER_EPOCH = 4
IDENTITY = RunIdentity({"learning_rate": 0.1})


def validation(ap: float, localization: float = 0.1, classification: float = 0.2) -> Validation:
    return Validation(localization, classification, CocoMetrics({"AP": ap, "AP50": ap}, {}))


class Weights(tf.Module):
    """One number, as detector and as model: it counts steps."""

    def __init__(self) -> None:
        super().__init__()
        self.value = tf.Variable(0.0)
        self.total_steps: list[int] = []

    @property
    def detector(self) -> tf.Module:
        return self

    def set_total_steps(self, steps: int) -> None:
        self.total_steps.append(steps)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Averages are a hundred more than the weights."""
        self.value.assign_add(100.0)
        yield
        self.value.assign_sub(100.0)


class Steps:
    """Stands in for a Trainer: a step adds one to the weights, validations come from a list."""

    steps_per_epoch = STEPS_PER_EPOCH
    devices = Devices(tf.distribute.get_strategy())
    learning_rate = 0.25

    def __init__(self, validations: list[Validation], on_step: Callable[[int], None] = lambda step: None, **given: Any):
        self.hyperparameters = hyperparameters.resolve({"epochs": len(validations) - 1, "batch_size": 2, **given})
        self.total_steps = STEPS_PER_EPOCH * self.hyperparameters.epochs
        self.model = Weights()
        self.input = self.loop = self
        self.steps: list[int] = []
        self._validations = validations
        self._on_step = on_step

    def batches(self, source: object, start_step: int) -> Iterator[int]:
        return itertools.count(start_step)

    def naming_files(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def train_step(self, batch: int, step: int, *, stop: bool, time_is_up: bool) -> StepOutcome:
        assert batch == step
        self.steps.append(step)
        self.model.value.assign_add(1.0)
        self._on_step(step)
        loss = float(step % STEPS_PER_EPOCH)
        return StepOutcome({"loss": loss, "localization": loss, "classification": loss}, stop, time_is_up)

    def validate(self, between: Callable[[], None] = lambda: None) -> tuple[Validation, ImageDetections]:
        between()
        epochs_done = int(self.model.value.numpy()) % 100 // STEPS_PER_EPOCH
        found = dataclasses.replace(NOTHING_FOUND, scores=np.full((1, 1), epochs_done, np.float32))
        return self._validations[epochs_done], found


class Listener:
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.epochs: list[EpochResult] = []
        self.closed = False

    def on_step(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        self.steps.append(step)

    def on_epoch(self, result: EpochResult, detections: ImageDetections) -> None:
        self.epochs.append(result)

    def close(self) -> None:
        self.closed = True


class Outcome:
    """A run that was started in a folder, its listener and what it told."""

    def __init__(self, folder: pathlib.Path, trainer: Steps, stops: StopRequests | None = None) -> None:
        self._checkpoints = RunCheckpoints(folder, IDENTITY)
        self.told: list[str] = []
        self.listener = Listener()
        self.run = Run(trainer, self._checkpoints, stops or StopRequests(), self.told.append)  # type: ignore[arg-type]
        self.run.listeners = [self.listener]

    def finish(self) -> TrainingResult:
        with self._checkpoints.opened():
            result = self.run.finish()
        assert result is not None
        return result


@pytest.mark.parametrize(
    ("aps", "objective", "best"),
    [
        ([0.1, 0.3, 0.2], "mAP", 1),
        ([0.0, 0.0, 0.0], "mAP", 2),  # all the same: the lowest loss
        ([0.1, 0.3, 0.2], "mAP50", 1),
        ([0.1, 0.3, 0.2], "loss", 2),
        ([0.1, 0.3, 0.2], "localization", 2),
        ([0.1, 0.3, 0.2], "classification", 2),  # all the same: the lowest loss
    ],
)
def test_the_best_epochs_weights_are_left(aps: list[float], objective: str, best: int, tmp_path: pathlib.Path) -> None:
    epochs = [validation(ap, localization=1.0 - 0.1 * epoch) for epoch, ap in enumerate(aps)]
    trainer = Steps([validation(0.0), *epochs], objective=objective)
    outcome = Outcome(tmp_path, trainer)
    result = outcome.finish()
    assert result.best is not None
    assert result.best.epoch == best
    assert result.final == epochs[best]
    assert result.before == validation(0.0)
    assert result.detections.scores.tolist() == [[best + 1]]
    assert float(trainer.model.value) == 100 + STEPS_PER_EPOCH * (best + 1)  # the averages, as they were validated
    assert [each.loss for each in outcome.listener.epochs] == [1.5] * 3  # mean of 0, 1, 2, 3
    assert outcome.listener.steps == list(range(3 * STEPS_PER_EPOCH))
    assert outcome.listener.closed


@pytest.mark.parametrize(
    ("given", "epochs"),
    [
        ({"early_stopping": True, "early_stopping_patience": 2}, 5),  # best at 2, then two without improvement
        ({"early_stopping": True, "early_stopping_patience": 2, "early_stopping_min_delta": 0.2}, 4),
        ({"early_stopping": False, "early_stopping_patience": 2}, 6),
        ({"early_stopping": True, "early_stopping_patience": 1, "early_stopping_min_epochs": 6}, 6),
        ({"early_stopping": True, "early_stopping_patience": 1, "early_stopping_min_epochs": 3}, 4),
        # .5 is a quarter better than .4, and .4 three times better than .1
        ({"early_stopping": True, "early_stopping_patience": 1, "early_stopping_tolerance": 0.3}, 3),
        ({"early_stopping": True, "early_stopping_patience": 1, "early_stopping_tolerance": 0.2}, 4),
    ],
)
def test_early_stopping(given: dict[str, object], epochs: int, tmp_path: pathlib.Path) -> None:
    validations = [validation(ap) for ap in (0.0, 0.1, 0.4, 0.5, 0.5, 0.5, 0.9)]
    assert len(Outcome(tmp_path, Steps(validations, **given)).finish().history) == epochs


def test_without_epochs_the_weights_stay(tmp_path: pathlib.Path) -> None:
    trainer = Steps([validation(0.3)])
    result = Outcome(tmp_path, trainer).finish()
    assert result.best is None
    assert result.final == result.before
    assert float(trainer.model.value) == 0


VALIDATIONS = [validation(ap) for ap in (0.0, 0.3, 0.5, 0.4)]


def expected_history(folder: pathlib.Path) -> list[dict[str, object]]:
    return [lasting(each) for each in Outcome(folder, Steps(VALIDATIONS)).finish().history]


def lasting(result: EpochResult) -> dict[str, object]:
    """What is the same in every run."""
    return {name: value for name, value in result.to_dict().items() if name not in ("samples_per_second", "input_bound",
                                                                                 "memory_bytes")}  # fmt: skip


@pytest.mark.parametrize("last_step", range(3 * STEPS_PER_EPOCH))
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_after_its_step_and_the_next_start_goes_on(
    last_step: int, number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    stops = StopRequests()

    def ask(step: int) -> None:
        if step == last_step:
            signal.raise_signal(number)

    first = Steps(VALIDATIONS, on_step=ask)
    with stops.handled(), pytest.raises(errors.StoppedError) as error:
        Outcome(tmp_path / "cut", first, stops).finish()
    assert error.value.status == 128 + number
    done = last_step + 1
    assert first.steps == list(range(done))
    assert f"{number.name} after step {done} of 12" in str(error.value)
    second = Steps(VALIDATIONS)
    outcome = Outcome(tmp_path / "cut", second)
    result = outcome.finish()
    assert second.steps == list(range(done, 12))
    assert [lasting(each) for each in result.history] == expected_history(tmp_path / "whole")
    assert result.best is not None
    assert result.best.epoch == 1
    assert float(second.model.value) == 100 + 2 * STEPS_PER_EPOCH
    assert any(line.startswith(f"resumed:    from step {done} of 12") for line in outcome.told)


@pytest.mark.parametrize("last_step", range(3 * STEPS_PER_EPOCH))
def test_a_run_that_vanishes_loses_no_more_than_the_steps_since_its_checkpoint(
    last_step: int, tmp_path: pathlib.Path
) -> None:
    class VanishedError(Exception):
        pass

    def vanish(step: int) -> None:
        if step == last_step:
            raise VanishedError

    with pytest.raises(VanishedError):
        Outcome(tmp_path / "cut", Steps(VALIDATIONS, on_step=vanish, checkpoint_every=3)).finish()
    second = Steps(VALIDATIONS)
    result = Outcome(tmp_path / "cut", second).finish()
    first_step = max(step for step in (*range(0, 13, 3), *range(0, 13, STEPS_PER_EPOCH)) if step <= last_step)
    assert second.steps[0] == first_step
    assert [lasting(each) for each in result.history] == expected_history(tmp_path / "whole")
    assert float(second.model.value) == 100 + 2 * STEPS_PER_EPOCH


def test_a_finished_run_is_not_run_again(tmp_path: pathlib.Path) -> None:
    whole = Outcome(tmp_path, Steps(VALIDATIONS)).finish()
    again = Steps(VALIDATIONS)
    result = Outcome(tmp_path, again).finish()
    assert again.steps == []
    assert result.history == whole.history
    assert result.detections.scores.tolist() == whole.detections.scores.tolist()
    assert float(again.model.value) == 100 + 2 * STEPS_PER_EPOCH


class Clock:
    """Seconds that pass with steps and validations alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic


# Seconds; an epoch has four steps and a validation.
TRACED, VALIDATION, STEP, EXPORT = 10, 5, 2, 16
MARGIN = 3.0


class Timed(Steps):
    """Its first validation, which is traced, takes longer than the others."""

    def __init__(self, clock: Clock, **given: Any) -> None:
        super().__init__([validation(0.1)] * 11, **given)
        self._clock = clock
        self._is_traced = False

    def train_step(self, *arguments: Any, **wishes: Any) -> StepOutcome:
        self._clock.now += STEP
        return super().train_step(*arguments, **wishes)

    def validate(self, between: Callable[[], None] = lambda: None) -> tuple[Validation, ImageDetections]:
        self._clock.now += VALIDATION if self._is_traced else TRACED
        self._is_traced = True
        return super().validate(between)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(run_module, "time", clock)
    monkeypatch.setattr(run_module, "Pace", lambda: Pace(clock.monotonic))
    return clock


@pytest.mark.parametrize(
    ("max_time", "steps"),
    [
        pytest.param(1000, 40, id="enough for all of it"),
        pytest.param(TRACED + 3 * 13 + EXPORT + MARGIN + 1, 12, id="three epochs"),
        pytest.param(TRACED + 3 * 13 + 2 * STEP + VALIDATION + EXPORT + MARGIN + 1, 14, id="three epochs and a half"),
        pytest.param(TRACED + 3 * 13 + VALIDATION + EXPORT + MARGIN + 1, 12, id="nothing but a validation more"),
        pytest.param(TRACED + 3, 1, id="hardly anything"),
    ],
)
def test_a_time_budget_shortens_the_run(max_time: float, steps: int, clock: Clock, tmp_path: pathlib.Path) -> None:
    trainer = Timed(clock, max_time=max_time)
    outcome = Outcome(tmp_path, trainer)
    result = outcome.finish()
    assert len(trainer.steps) == steps
    assert len(result.history) == -(-steps // STEPS_PER_EPOCH)
    if steps > 1:
        assert clock.now + EXPORT + 0.02 * max_time + 1 <= max_time  # a margin for the end of the process
    if steps < 40:
        assert trainer.model.total_steps[-1] == steps  # the learning rate comes to its end
        assert outcome.told[-1] == f"time:       {steps / 4:.1f} of 10 epochs fit into {max_time:g} s"


@pytest.mark.parametrize(
    ("max_time", "steps"),
    [
        pytest.param(100 + MARGIN, 12, id="the same budget"),
        pytest.param(40, 0, id="no time is left"),
        pytest.param(None, 32, id="no budget any more"),
    ],
)
def test_a_run_that_was_killed_goes_on_under_a_budget(
    max_time: float | None, steps: int, clock: Clock, tmp_path: pathlib.Path
) -> None:
    class KilledError(Exception):
        pass

    def die(step: int) -> None:
        if step == 2 * STEPS_PER_EPOCH:
            raise KilledError

    with pytest.raises(KilledError):
        Outcome(tmp_path, Timed(clock, max_time=100, on_step=die)).finish()
    spent = TRACED + 2 * 13  # that a checkpoint knows of
    trainer = Timed(clock, max_time=max_time)
    clock.now = 0.0
    outcome = Outcome(tmp_path, trainer)
    clock.now += 3  # weights, data
    result = outcome.finish()
    assert trainer.steps == list(range(8, 8 + steps))
    assert result.seconds == spent + clock.now
    if max_time is not None:
        assert trainer.model.total_steps[-1] == 8 + steps
        assert result.seconds + EXPORT <= max(max_time, spent + 3 + EXPORT)
