"""How fast a run goes, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Means of the time that a step and a validation take, over the present process.

    The first step of all counts for nothing: it is traced, and nobody said when it began.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Args: clock: seconds, from any origin."""
        self._clock = clock
        self._last: float | None = None
        self._steps = self._validations = 0
        self._step_seconds = self._validation_seconds = 0.0

    def step(self) -> None:
        """To be called after each step."""
        if (seconds := self._since_last()) is not None:
            self._steps, self._step_seconds = self._steps + 1, self._step_seconds + seconds

    def validation(self) -> None:
        """To be called after each validation that follows an epoch."""
        if (seconds := self._since_last()) is not None:
            self._validations, self._validation_seconds = self._validations + 1, self._validation_seconds + seconds

    @property
    def steps_per_second(self) -> float | None:
        """Over all steps that were timed; None as long as there is none."""
        return self._steps / self._step_seconds if self._step_seconds else None

    def seconds_left(self, steps: int, validations: int) -> float | None:
        """Returns the time for so many more steps and validations; None as long as no step was timed.

        Before the first validation was timed, validations count for nothing.
        """
        if not self._steps:
            return None
        step = self._step_seconds / self._steps
        validation = self._validation_seconds / max(self._validations, 1)
        return steps * step + validations * validation

    def steps_that_fit(self, seconds: float, step_of_epoch: int, steps_per_epoch: int, gap: float) -> int | None:
        """Returns how many more steps a time allows; None as long as no step was timed.

        Args:
          seconds: the time.
          step_of_epoch: steps of the present epoch that are done.
          steps_per_epoch: steps from one validation to the next.
          gap: seconds from the last step of an epoch to the next epoch; a part of an epoch ends with one, too.
        """
        step = self.seconds_left(1, 0)
        if step is None:
            return None
        since_epoch = seconds + step_of_epoch * step
        epochs = max(int(since_epoch / (steps_per_epoch * step + gap)), 0)
        rest = since_epoch - epochs * (steps_per_epoch * step + gap) - gap
        steps = epochs * steps_per_epoch + max(int(rest / step), 0)
        return max(steps - step_of_epoch, 0)

    def _since_last(self) -> float | None:
        now = self._clock()
        last, self._last = self._last, now
        return None if last is None else now - last


def duration(seconds: float) -> str:
    """A time for a person: 80 s, 4 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
