"""How detections are picked from what a detector says: a choice of each export, which training does not depend on."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfod_transfer import errors

MIN_SCORE = 1e-8
MAX_DETECTIONS = 100


@dataclasses.dataclass(frozen=True)
class DetectionOptions:
    """What `modeling.postprocessing.detect` is told; the defaults are those of the zoo's models and of COCO's metrics.

    Attributes:
      max_detections: boxes in an answer, at most.
      score_threshold: boxes have higher scores.
      nms_iou: overlap with a better box above which a box goes; None for the model's own.
      nms_topk: how many boxes, the best, compete in non-max suppression, for models that limit it; None for the
        model's own number.
      class_agnostic_nms: whether a better box of any class counts, and not of the same class only.

    Raises:
      UsageError: a value is out of its range.
    """

    max_detections: int = MAX_DETECTIONS
    score_threshold: float = MIN_SCORE
    nms_iou: float | None = None
    class_agnostic_nms: bool = False
    nms_topk: int | None = None

    def __post_init__(self) -> None:
        ranges = (
            ("max_detections", self.max_detections >= 1, "a whole number of at least 1"),
            ("score_threshold", 0 <= self.score_threshold < 1, "a number from 0 to below 1"),
            ("nms_topk", self.nms_topk is None or self.nms_topk >= 1, "a whole number of at least 1"),
            ("nms_iou", self.nms_iou is None or 0 <= self.nms_iou <= 1, "a number from 0 to 1"),
        )
        for name, fits, expected in ranges:
            if not fits:
                raise errors.UsageError(f"{name}: expected {expected}, found {getattr(self, name)!r}.")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def cautions(self) -> list[str]:
        """A sentence where COCO's metrics, which count 100 boxes of any score, are given less; else nothing."""
        if self.max_detections >= MAX_DETECTIONS and self.score_threshold <= MIN_SCORE:
            return []
        return [
            f"warning: this artifact was exported to answer with {self}; the metrics count what it leaves out as not "
            "found. COCO's own figures are those of the artifact that it was exported from"
        ]

    def __str__(self) -> str:
        overlap = "the model's own" if self.nms_iou is None else f"{self.nms_iou:g}"
        rivals = "of any class" if self.class_agnostic_nms else "of one class"
        return (
            f"at most {self.max_detections} boxes, scores above {self.score_threshold:g}, "
            f"overlap {overlap} among boxes {rivals}"
        )
