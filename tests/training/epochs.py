"""What tests of a run's listeners tell them."""

from __future__ import annotations

import numpy as np

from tfod_transfer.evaluation.coco_metrics import CocoMetrics, ImageDetections
from tfod_transfer.training.results import EpochResult, Validation

NOTHING_FOUND = ImageDetections(
    np.zeros((0, 1, 4), np.float32), np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32)
)


def metrics(ap: float, **classes: float | None) -> CocoMetrics:
    """COCO metrics; AP50 is twice AP, each class has three boxes."""
    per_class = {
        name: {"AP": value, "AP50": None if value is None else 2 * value, "boxes": 3} for name, value in classes.items()
    }
    return CocoMetrics({"AP": ap, "AP50": 2 * ap}, per_class)


def epoch(number: int, ap: float = 0.25, **values: float) -> EpochResult:
    """An epoch; `values` replace those here."""
    fields: dict[str, float] = {
        "loss": 1.5, "localization_loss": 0.5, "classification_loss": 0.75, "learning_rate": 0.01,
        "samples_per_second": 12.5, "input_bound": 0.03, "memory_bytes": 3 * 2**29, **values,
    }  # fmt: skip
    validation = Validation(0.4, 0.6, metrics(ap, cat=ap, dog=None))
    return EpochResult(epoch=number, validation=validation, **fields)  # type: ignore[arg-type]
