"""The log of SageMaker's Object Detection, which its published metric definitions and people's scrapers read."""

from __future__ import annotations

import datetime
import os
import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.ssd_hyperparameters import SsdHyperparameters
from tfod_transfer.training.results import EpochResult
from tfod_transfer.training.run_state import RunState

if TYPE_CHECKING:
    from tfod_transfer.training.trainer import Trainer

_STEPS_BETWEEN_LINES = 100
_DEFAULT_HOST = "algo-1"


class SsdLog:
    """A listener that prints what that algorithm prints; each line under the time, its level and its thread."""

    def __init__(
        self,
        state: Callable[[], RunState],
        trainer: Trainer,
        folder: pathlib.Path,
        asked: SsdHyperparameters,
        host: str | None = None,
    ) -> None:
        """Remembers what to tell of, and prints the configuration.

        Args:
          state: gives the state of the run; an epoch that is told of is already in it.
          trainer: of the run.
          folder: of the run's checkpoints.
          asked: the hyperparameters.
          host: this host's name; by default what SageMaker calls it.
        """
        self._state = state
        self._trainer = trainer
        self._folder = folder
        self._host = host or os.environ.get("SM_CURRENT_HOST") or _DEFAULT_HOST
        self._epoch_started = time.monotonic()
        self._last_steps = 0  # of the epoch, when it was last told of
        self._last_told = self._epoch_started
        for line in configuration_lines(asked, trainer):
            _print(line)

    def on_step(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """Tells of the epoch so far, every hundred batches."""
        epoch, of_epoch = divmod(step, self._trainer.steps_per_epoch)
        batches, now = of_epoch + 1, time.monotonic()
        if of_epoch == 0:
            self._epoch_started = self._last_told = now
            self._last_steps = 1  # the first one's time is not known
        elif batches % _STEPS_BETWEEN_LINES == 0:
            size = self._trainer.hyperparameters.batch_size
            speed = (batches - self._last_steps) * size / max(now - self._last_told, 1e-9)
            so_far = datetime.timedelta(seconds=now - self._epoch_started)
            _print(
                f"Epoch: {epoch:4d}, batches: {batches:6d}, num_examples: {batches * size:6d}, "
                f"{speed:.1f} samples/sec, epoch time so far:  {so_far}"
            )
            self._last_steps, self._last_told = batches, now

    def on_epoch(self, result: EpochResult, detections: ImageDetections) -> None:
        """Tells of an epoch."""
        for line in self._epoch_lines(result):
            _print(line)

    def close(self) -> None:
        """Does nothing: a line is printed when it is known."""

    def _epoch_lines(self, result: EpochResult) -> list[str]:
        state, settings, epoch = self._state(), self._trainer.hyperparameters, result.epoch
        head = f"#quality_metric: host={self._host}, epoch={epoch}, "
        batch = f"{head}batch={self._trainer.steps_per_epoch} train"
        score = result.validation.overlap_map or 0.0
        lines = [
            f"{batch} cross_entropy <loss>=({result.classification_loss})",
            f"{batch} smooth_l1 <loss>=({result.localization_loss})",
            f"{head}validation mAP <score>=({score})",
        ]
        if state.best_epoch == epoch:
            lines += [
                f"Updating the best model with validation-mAP={score}",
                f'Saved checkpoint to "{self._folder / f"best-{state.best_step:08d}"}"',
            ]
        share = 100 * min(state.step / max(state.planned_steps, 1), 1) if settings.epochs else 100
        return [
            *lines,
            f"#progress_metric: host={self._host}, completed {share:.1f} % of epochs",
            f"#throughput_metric: host={self._host}, train throughput={result.samples_per_second} records/second",
        ]


def configuration_lines(asked: SsdHyperparameters, trainer: Trainer) -> list[str]:
    """The hyperparameters, in the form of Python 2 that people search for `num_training_samples': u'`."""
    values = {
        **{name: getattr(asked, name) for name in vars(asked)},
        "num_classes": asked.num_classes or len(trainer.validation_set.class_names),
        "num_training_samples": asked.num_training_samples or trainer.num_images,
        "use_pretrained_model": int(asked.use_pretrained_model),
    }
    listed = ", ".join(f"u'{name}': u'{value}'" for name, value in sorted(values.items()))
    size = asked.image_shape
    return [f"Final configuration: {{{listed}}}", f"Training images are resized to image shape (3, {size}, {size})"]


def _print(line: str) -> None:
    now = datetime.datetime.now().strftime("%m/%d/%Y %H:%M:%S")
    print(f"[{now} INFO {threading.get_ident()}] {line}", flush=True)
