"""What a run gives: of each validation, of each epoch, of the whole; and who is told of it meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tfod_transfer.evaluation.coco_metrics import CocoMetrics, ImageDetections


@dataclasses.dataclass(frozen=True)
class Validation:
    """Losses and COCO metrics on the validation images.

    Attributes:
      localization_loss, classification_loss: divided by the number of positive anchors.
      metrics: COCO's.
      overlap_map: mAP at `overlap_threshold`; None where the run does not go by it.
    """

    localization_loss: float
    classification_loss: float
    metrics: CocoMetrics
    overlap_map: float | None = None

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
    """One epoch.

    Attributes:
      epoch: from 0.
      loss, localization_loss, classification_loss: means over its steps; `loss` has the regularisation in it.
      learning_rate: of its last step.
      samples_per_second: images a second while training.
      input_bound: share of the training time, 0..1, in which the device waited for the next batch.
      memory_bytes: resident size of the process when the epoch ended.
      validation: what the validation after it gave.
    """

    epoch: int
    loss: float
    localization_loss: float
    classification_loss: float
    learning_rate: float
    samples_per_second: float
    input_bound: float
    memory_bytes: int
    validation: Validation

    def to_dict(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del values["validation"]
        return {**values, **self.validation.to_dict()}


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a run gave.

    Attributes:
      before: validation before the first step.
      history: each epoch.
      best: the epoch whose weights are exported; None without epochs.
      final: validation of the exported weights.
      detections: what they find in the validation images.
      seconds: the run's time, over all of its starts.
    """

    before: Validation
    history: Sequence[EpochResult]
    best: EpochResult | None
    final: Validation
    detections: ImageDetections
    seconds: float


class Listener(Protocol):
    """Is told how a run goes on."""

    def on_step(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """After each step, counted from 0 over the run; `losses` are loss, localization and classification."""

    def on_epoch(self, result: EpochResult, detections: ImageDetections) -> None:
        """After each validation, with what it found in the validation images."""

    def close(self) -> None:
        """After the last one."""
