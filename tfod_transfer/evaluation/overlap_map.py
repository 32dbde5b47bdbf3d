"""mAP at one overlap, as PASCAL VOC counts it from 2010 on, and SageMaker's Object Detection with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.evaluation.diagnosis import iou_matrix


def overlap_map(dataset: DetectionDataset, detections: ImageDetections, overlap: float) -> float:
    """The mean, over the classes that have ground truth, of the area under precision as it falls with recall.

    A box is found by the first detection of its class, by score, that overlaps it by more than `overlap`, and more
    than it overlaps any other box; what comes later counts as wrong. Crowd regions count neither way.

    Args:
      dataset: the ground truth.
      detections: of the same images in the same order.
      overlap: 0..1.

    Returns:
      0..1; 0 when there is no ground truth.
    """
    counts = np.bincount(dataset.classes[~dataset.is_crowd], minlength=dataset.num_classes)
    outcomes: dict[int, list[tuple[float, bool]]] = {label: [] for label in np.flatnonzero(counts).tolist()}
    for image in range(len(dataset)):
        rows = dataset.rows_of(image)
        truth, labels, is_crowd = dataset.boxes[rows], dataset.classes[rows], dataset.is_crowd[rows]
        found = detections.scores[image] > 0
        boxes, classes, scores = (
            each[image][found] for each in (detections.boxes, detections.classes, detections.scores)
        )
        for label in outcomes.keys() & set(classes.tolist()):
            mine, theirs = classes == label, labels == label
            outcomes[label] += _of_image(boxes[mine], scores[mine], truth[theirs], is_crowd[theirs], overlap)
    areas = [_area(outcome, int(counts[label])) for label, outcome in outcomes.items()]
    return float(np.mean(areas)) if areas else 0.0


def _of_image(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    is_crowd: npt.NDArray[np.bool_],
    overlap: float,
) -> list[tuple[float, bool]]:
    """(score, whether it found a box) of the detections of one class in one image."""
    if not len(truth):
        return [(float(score), False) for score in scores]
    overlaps = iou_matrix(boxes, truth)
    taken: set[int] = set()
    outcome = []
    for row in np.argsort(-scores, kind="stable"):
        best = int(np.argmax(overlaps[row]))
        hits = overlaps[row, best] > overlap
        if hits and is_crowd[best]:
            continue
        outcome.append((float(scores[row]), bool(hits) and best not in taken))
        taken |= {best} if hits else set()
    return outcome


def _area(outcome: list[tuple[float, bool]], count: int) -> float:
    """Area under the curve of precision, made falling, over recall."""
    if not outcome:
        return 0.0
    hits = np.array([hit for _, hit in sorted(outcome, key=lambda each: -each[0])], np.float64)
    true = np.cumsum(hits)
    precision = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float(np.sum(precision * hits) / count)
