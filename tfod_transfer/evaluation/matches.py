"""What COCO's matching at IoU 0.50 says of each detection: right, wrong, or on a crowd region and not counted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections

IOU = 0.5
NOT_MATCHED = -1
_IOU_50 = 0  # index into COCOeval's thresholds .50:.05:.95


@dataclasses.dataclass(frozen=True)
class Matches:
    """The D detections of a data set, in the order of `np.nonzero(detections.scores > 0)`.

    COCO's rule: in each image and class, detections from the highest score on each take the free box that they overlap
    most, by IOU at least. What is above a score is therefore matched the same whatever comes below it.

    Attributes:
      image: int64 [D], number of the image.
      column: int64 [D], place among the image's detections.
      classes: int32 [D], 0..K-1.
      scores: float32 [D].
      box: int64 [D], row of the data set's boxes that the detection found; NOT_MATCHED for none.
      ignored: bool [D], on a crowd region of its class, or past the 100 best of its class and image: not counted.
    """

    image: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    box: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.bool_]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each detection found a box, bool [D]."""
        return self.box != NOT_MATCHED

    def kept(self, threshold: float) -> npt.NDArray[np.bool_]:
        """Whether each detection counts at a score threshold, bool [D]."""
        # Compared as a program does that reads the score from JSON: in double precision.
        return ~self.ignored & (self.scores.astype(np.float64) >= threshold)


def find_matches(dataset: DetectionDataset, detections: ImageDetections, evaluation: Any) -> Matches:
    """Reads the matches of every detection out of `run_cocoeval(dataset, detections)`."""
    image, column = np.nonzero(detections.scores > 0)
    box = np.full(len(image), NOT_MATCHED, np.int64)
    ignored = np.full(len(image), evaluation is not None)
    for entry in _whole_range(evaluation, len(dataset)):
        rows = np.asarray(entry["dtIds"], np.int64) - 1
        ignored[rows] = entry["dtIgnore"][_IOU_50].astype(bool)
        # The id of a box is its row + 1, and 0 says "none".
        box[rows] = np.where(ignored[rows], NOT_MATCHED, entry["dtMatches"][_IOU_50].astype(np.int64) - 1)
    return Matches(image, column, detections.classes[image, column], detections.scores[image, column], box, ignored)


def _whole_range(evaluation: Any, images: int) -> list[dict[str, Any]]:
    """COCOeval's entries of each image and class for boxes of all sizes, which come first for each class."""
    if evaluation is None:
        return []
    step = len(evaluation.params.areaRng) * images
    starts = range(0, len(evaluation.evalImgs), step)
    return [entry for start in starts for entry in evaluation.evalImgs[start : start + images] if entry is not None]
