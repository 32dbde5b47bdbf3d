"""What happens around the steps of a run: finite losses, validation, the best weights, early stopping, log lines."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras

from tfod_transfer import errors
from tfod_transfer.evaluation.coco_metrics import CocoMetrics
from tfod_transfer.hyperparameters import Hyperparameters


@dataclasses.dataclass(frozen=True)
class Validation:
    """Losses and COCO metrics on the validation images."""

    localization_loss: float
    classification_loss: float
    metrics: CocoMetrics

    @property
    def loss(self) -> float:
        return self.localization_loss + self.classification_loss

    def losses(self) -> dict[str, float]:
        """Both losses, under their names in metrics.json."""
        return {
            "val_localization_loss": self.localization_loss,
            "val_classification_loss": self.classification_loss,
        }

    def to_dict(self) -> dict[str, Any]:
        """Losses, AP and AP50."""
        return {**self.losses(), "AP": self.metrics.ap, "AP50": self.metrics.ap50}


@dataclasses.dataclass(frozen=True)
class EpochResult:
    """One epoch: mean training loss, images a second while training, and what validation gave."""

    epoch: int
    loss: float
    samples_per_second: float
    validation: Validation

    def to_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "samples_per_second": self.samples_per_second,
            **self.validation.to_dict(),
        }


class FiniteLoss(tf_keras.callbacks.Callback):
    """Stops the run at the first loss that is not a finite number, naming the images of the batch."""

    def __init__(self, images_of_step: Callable[[int], Sequence[str]]) -> None:
        super().__init__()
        self._images_of_step = images_of_step
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        losses = logs or {}
        if not all(math.isfinite(value) for value in losses.values()):
            rate = float(self.model.optimizer.learning_rate.numpy())
            found = ", ".join(f"{name} {value}" for name, value in losses.items())
            raise errors.TrainingError(
                f"the loss is not a finite number at step {self._steps} ({found}); learning rate {rate:.6g}; "
                f"images of the batch: {', '.join(self._images_of_step(self._steps))}. "
                "Lower learning_rate, or look at these images with tfod_transfer.inspect."
            )
        self._steps += 1


class EpochEvaluation(tf_keras.callbacks.Callback):
    """Validates after each epoch, keeps the best epoch's weights, stops early when asked, reports each epoch."""

    def __init__(
        self,
        validate: Callable[[], Validation],
        hyperparameters: Hyperparameters,
        report: Callable[[EpochResult], None],
        batch_size: int,
    ) -> None:
        super().__init__()
        self._validate = validate
        self._hyperparameters = hyperparameters
        self._report = report
        self._batch_size = batch_size
        self._losses: list[float] = []
        self._started = 0.0
        self._stale_epochs = 0
        self.history_: list[EpochResult] = []
        self.best: EpochResult | None = None
        self.best_weights: list[npt.NDArray[np.float32]] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._losses, self._started = [], time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._losses.append((logs or {})["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        seconds = time.perf_counter() - self._started
        samples = len(self._losses) * self._batch_size
        result = EpochResult(epoch, float(np.mean(self._losses)), samples / seconds, self._validate())
        self.history_.append(result)
        self._report(result)
        improved = self._improvement(result)
        if improved > 0 or (improved == 0 and self.best and result.validation.loss < self.best.validation.loss):
            self.best, self.best_weights = result, self.model.get_weights()
        self._stale_epochs = 0 if improved > self._hyperparameters.early_stopping_min_delta else self._stale_epochs + 1
        if self._hyperparameters.early_stopping and self._stale_epochs >= self._hyperparameters.early_stopping_patience:
            self.model.stop_training = True

    def _improvement(self, result: EpochResult) -> float:
        if self.best is None:
            return math.inf
        return self._merit(result.validation) - self._merit(self.best.validation)

    def _merit(self, validation: Validation) -> float:
        metric = {"mAP": "AP", "mAP50": "AP50", "mAP75": "AP75", "AR": "AR_100"}.get(self._hyperparameters.objective)
        if metric is not None:
            return validation.metrics.summary[metric] or 0.0
        losses = {
            "loss": validation.loss,
            "localization": validation.localization_loss,
            "classification": validation.classification_loss,
        }
        return -losses[self._hyperparameters.objective]
