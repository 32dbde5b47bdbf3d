"""What a terminal shows while a run goes on: a bar for the steps of an epoch, lines after it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.training import progress
from tfod_transfer.training.pace import Pace, duration
from tfod_transfer.training.results import EpochResult
from tfod_transfer.training.run_state import RunState

if TYPE_CHECKING:
    from tqdm import tqdm

# Of a bar with its text; narrower terminals are spared the parts of the loss.
_WIDE = 105


class Console:
    """A listener that prints: on standard output the lines of each epoch, on a terminal's standard error a bar."""

    def __init__(
        self, state: Callable[[], RunState], steps_per_epoch: int, batch_size: int, *, with_metrics: bool = True
    ) -> None:
        """Remembers what to tell of.

        Args:
          state: gives the state of the run; an epoch that is told of is already in it.
          steps_per_epoch: steps from one validation to the next.
          batch_size: images in a step.
          with_metrics: print the epoch's metrics too, in the form that SageMaker's metric definitions read.
        """
        self._state = state
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = batch_size
        self._with_metrics = with_metrics
        self._pace = Pace()
        self._bar: tqdm[NoReturn] | None = None

    def on_step(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """Moves the bar."""
        self._pace.step()
        if not sys.stderr.isatty():
            return
        epoch, step_of_epoch = divmod(step, self._steps_per_epoch)
        if self._bar is None:
            self._bar = self._new_bar(epoch, step_of_epoch)
        if step_of_epoch + 1 == self._steps_per_epoch:
            self._bar.set_postfix_str("validating", refresh=False)
        else:
            self._bar.set_postfix_str(self._text(self._bar.format_dict, losses, step), refresh=False)
        self._bar.update()
        if step_of_epoch + 1 == self._steps_per_epoch:
            self._bar.refresh()

    def on_epoch(self, result: EpochResult, detections: ImageDetections) -> None:
        """Takes the bar away and prints the epoch."""
        self._pace.validation()
        self.close()
        best = self._state().best or result
        left = self._seconds_left((result.epoch + 1) * self._steps_per_epoch)
        metrics = progress.epoch_lines(result) if self._with_metrics else []
        for line in [*metrics, progress.outlook_line(result, best, left)]:
            print(line, flush=True)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _new_bar(self, epoch: int, step_of_epoch: int) -> tqdm[NoReturn]:
        from tqdm import tqdm

        return tqdm(
            desc=f"[Epoch {epoch}]",
            total=self._steps_per_epoch,
            initial=step_of_epoch,
            bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}",
            dynamic_ncols=True,
            leave=False,
            file=sys.stderr,
        )

    def _text(self, bar: Mapping[str, object], losses: Mapping[str, float], step: int) -> str:
        columns, rate, left = bar["ncols"], self._pace.steps_per_second, self._seconds_left(step + 1)
        text = f"loss {losses['loss']:.3f}"
        if not isinstance(columns, int) or columns >= _WIDE:
            text += f" (boxes {losses['localization']:.3f}, classes {losses['classification']:.3f})"
        if rate is not None and left is not None:
            text += f", {rate * self._batch_size:.1f} images/s, {duration(left)} left"
        return text

    def _seconds_left(self, steps_done: int) -> float | None:
        steps = max(self._state().planned_steps - steps_done, 0)
        return self._pace.seconds_left(steps, -(-steps // self._steps_per_epoch))
