"""How long a run still takes."""

from __future__ import annotations

import pytest

from tfod_transfer.training.pace import Pace, duration


def pace_of(*events: tuple[str, float]) -> Pace:
    """A pace that was told of steps and validations at these times."""
    times = iter([time for _, time in events])
    pace = Pace(lambda: next(times))
    for kind, _ in events:
        getattr(pace, kind)()
    return pace


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], None, id="nothing happened"),
        pytest.param([("step", 5)], None, id="the first step is traced"),
        pytest.param([("step", 5), ("step", 7)], 20, id="one step: 2 s each, no validation yet"),
        pytest.param([("step", 5), ("step", 7), ("validation", 17)], 50, id="validations: 10 s each"),
        pytest.param([("step", 5), ("step", 7), ("validation", 17), ("step", 21)], 60, id="means"),
        pytest.param([("validation", 1), ("step", 4)], 30, id="a run that resumed before a validation"),
    ],
)
def test_time_for_ten_steps_and_three_validations(events: list[tuple[str, float]], expected: float | None) -> None:
    assert pace_of(*events).seconds_left(10, 3) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("seconds", "step_of_epoch", "expected"),
    [  # steps of 2 s, four to an epoch, and 5 s after each
        pytest.param(26, 0, 8, id="two epochs"),
        pytest.param(25.9, 0, 7, id="a step less"),
        pytest.param(35, 0, 10, id="two epochs, two steps and their validation"),
        pytest.param(31, 0, 8, id="no time for a step after them"),
        pytest.param(22, 2, 6, id="from the middle of an epoch"),
        pytest.param(9, 2, 2, id="to its end"),
        pytest.param(6, 2, 0, id="a validation"),
        pytest.param(-3, 0, 0, id="nothing is left"),
    ],
)
def test_steps_that_fit(seconds: float, step_of_epoch: int, expected: int) -> None:
    assert pace_of(("step", 5)).steps_that_fit(seconds, step_of_epoch, 4, 5) is None
    assert pace_of(("step", 5), ("step", 7)).steps_that_fit(seconds, step_of_epoch, 4, 5) == expected


def test_steps_per_second() -> None:
    assert pace_of(("step", 5)).steps_per_second is None
    assert pace_of(("step", 5), ("step", 7), ("validation", 9), ("step", 13)).steps_per_second == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (90_000, "25.0 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
