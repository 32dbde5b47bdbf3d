"""Precision and recall at IoU 0.50 against the score threshold, and the threshold where F1 is best."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.matches import Matches

#: Thresholds that are looked at: what a person would type.
THRESHOLDS: npt.NDArray[np.float64] = np.arange(1, 1000) / 1000
#: COCO's recall points.
RECALLS: npt.NDArray[np.float64] = np.linspace(0, 1, 101)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """How many detections are right at each of THRESHOLDS.

    Attributes:
      kept: int64 [999], detections that score as much or more.
      right: int64 [999], those of them that found a box.
      boxes: how many there are to find.
    """

    kept: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    boxes: int

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """float64 [999], the share of what is kept that is right; NaN where nothing is kept."""
        return _share(self.right, self.kept)

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """float64 [999], the share of the boxes that is found; NaN where there are none."""
        return _share(self.right, np.full(len(self.right), self.boxes))

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """float64 [999], the harmonic mean of both, 2 right / (kept + boxes); 0 where nothing is kept."""
        return np.nan_to_num(_share(2 * self.right, self.kept + self.boxes))

    def best(self) -> OperatingPoint | None:
        """The threshold with the best F1, the middle one of several; None when nothing is right at any."""
        f1 = self.f1
        if not f1.any():
            return None
        best = np.flatnonzero(f1 == f1.max())
        return self.at(int(best[len(best) // 2]))

    def at(self, index: int) -> OperatingPoint:
        """What holds at threshold number `index`."""
        kept, right = int(self.kept[index]), int(self.right[index])
        return OperatingPoint(float(THRESHOLDS[index]), right, kept - right, self.boxes - right)


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A score threshold and what comes of it.

    Attributes:
      threshold: detections with this score or more are kept.
      right: detections that found a box.
      wrong: detections that did not.
      missed: boxes that no detection found.
    """

    threshold: float
    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float | None:
        """The share of the detections that is right; None without detections."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """The share of the boxes that is found; None without boxes."""
        return self.right / (self.right + self.missed) if self.right + self.missed else None

    @property
    def f1(self) -> float:
        """2 right / (2 right + wrong + missed); 0 where there is nothing at all."""
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)

    def to_dict(self) -> dict[str, Any]:
        counts = dataclasses.asdict(self)
        return {**counts, "precision": self.precision, "recall": self.recall, "F1": self.f1}


def sweep(matches: Matches, dataset: DetectionDataset, class_row: int | None = None) -> Sweep:
    """Counts at every threshold, for one class or (None) over the detections and boxes of all classes together."""
    of_class = np.ones(len(matches.box), bool) if class_row is None else matches.classes == class_row
    counted = of_class & ~matches.ignored
    boxes = ~dataset.is_crowd if class_row is None else ~dataset.is_crowd & (dataset.classes == class_row)
    scores = matches.scores.astype(np.float64)
    return Sweep(_at_least(scores[counted]), _at_least(scores[counted & matches.right]), int(boxes.sum()))


def recall_curves(evaluation: Any, has_boxes: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """COCO's precision at RECALLS and IoU 0.50 for each of K classes: the best at that recall or beyond.

    Args:
      evaluation: what `run_cocoeval` gave.
      has_boxes: bool [K], whether there is a box of the class to find.

    Returns:
      float64 [K, 101]; NaN for a class without boxes, 0 where a recall is never reached.
    """
    precision = np.zeros((len(has_boxes), len(RECALLS)))
    if evaluation is not None:
        # [thresholds, recalls, classes, areas, max detections]: IoU .50, boxes of all sizes, 100 detections.
        precision = evaluation.eval["precision"][0, :, :, 0, -1].T
    return np.where(has_boxes[:, np.newaxis], precision, np.nan)


def _at_least(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How many scores are at or above each of THRESHOLDS."""
    return np.asarray(len(scores) - np.searchsorted(np.sort(scores), THRESHOLDS, side="left"), np.int64)


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
