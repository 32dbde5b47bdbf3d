"""Which class is taken for which: a confusion matrix with background, at one score threshold."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.evaluation.diagnosis import iou_matrix
from tfod_transfer.evaluation.matches import IOU, Matches


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How often a mistake was made, most frequent mistakes first.

    Attributes:
      truth: row of the class that is there; K for background, that is nothing.
      found: row of the class that was reported; K for background: missed.
      count: how often.
      share: of the boxes of class `truth`; for background, of the detections of class `found`.
    """

    truth: int
    found: int
    count: int
    share: float


def confusion_matrix(
    dataset: DetectionDataset, detections: ImageDetections, matches: Matches, threshold: float
) -> npt.NDArray[np.int64]:
    """Counts boxes by their class (rows) and the class that they were found as (columns).

    The last row holds detections of nothing, the last column boxes that were missed. A detection is first matched
    within its class, as by COCO, so that the diagonal holds what counts as right in precision and recall. What is left
    over is then matched across classes: from the highest score on, each detection takes the free box that it overlaps
    most, by IOU at least. Crowd regions, and detections on them, are left out.

    Returns:
      int64 [K + 1, K + 1].
    """
    background = dataset.num_classes
    kept = matches.kept(threshold)
    box = np.where(kept, matches.box, -1)
    free = ~dataset.is_crowd
    free[box[box >= 0]] = False
    left = np.flatnonzero(kept & (box < 0))
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)
    for image in np.intersect1d(matches.image[left], image_of_box[free]):
        first = int(dataset.offsets[image])
        open_rows = first + np.flatnonzero(free[dataset.rows_of(image)])
        wrong = left[matches.image[left] == image]
        wrong = wrong[np.argsort(-matches.scores[wrong], kind="stable")]
        found = detections.boxes[image, matches.column[wrong]]
        for row, taken in zip(wrong, _greedy(iou_matrix(found, dataset.boxes[open_rows])), strict=True):
            if taken >= 0:
                box[row] = open_rows[taken]
    matrix = np.zeros((background + 1, background + 1), np.int64)
    is_hit = box >= 0
    np.add.at(matrix, (dataset.classes[box[is_hit]], matches.classes[is_hit]), 1)
    matrix[background] = np.bincount(matches.classes[kept & ~is_hit], minlength=background + 1)
    missed = ~dataset.is_crowd
    missed[box[is_hit]] = False
    matrix[:, background] = np.bincount(dataset.classes[missed], minlength=background + 1)
    return matrix


def confusions(matrix: npt.NDArray[np.int64]) -> list[Confusion]:
    """The mistakes in a confusion matrix [K + 1, K + 1], the most frequent first."""
    background = len(matrix) - 1
    boxes, reported = matrix.sum(axis=1), matrix.sum(axis=0)
    found = []
    for truth, column in zip(*np.nonzero(matrix), strict=True):
        if truth != column:
            whole = reported[column] if truth == background else boxes[truth]
            count = int(matrix[truth, column])
            found.append(Confusion(int(truth), int(column), count, count / int(whole)))
    return sorted(found, key=lambda each: (-each.count, -each.share, each.truth, each.found))


def _greedy(overlaps: npt.NDArray[np.float64]) -> list[int]:
    """For each row in turn, the free column that it overlaps most, -1 for none; of IoU [P, Q]."""
    overlaps = overlaps.copy()
    taken = []
    for row in range(len(overlaps)):
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= IOU:
            overlaps[:, best] = -1
            taken.append(best)
        else:
            taken.append(-1)
    return taken
