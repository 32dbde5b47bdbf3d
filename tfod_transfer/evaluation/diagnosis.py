"""Why a trained detector finds nothing right: what a person would look at first, in a few lines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections

_LOW_SCORE = 0.05
_TOP = 20


def diagnose(dataset: DetectionDataset, detections: ImageDetections) -> list[str]:
    """Lines on classes, scores, overlaps and the order of box coordinates; for a run whose mAP stayed 0."""
    names = np.array(dataset.class_names, dtype=object)
    found = detections.scores[:, :_TOP] > 0
    highest = float(detections.scores.max(initial=0.0))
    lines = [
        f"ground truth by class: {_histogram(dataset.classes[~dataset.is_crowd], names)}",
        f"detections by class (best {_TOP} of each image): {_histogram(detections.classes[:, :_TOP][found], names)}",
        f"highest score: {highest:.4f}",
    ]
    if highest < _LOW_SCORE:
        lines.append("every score is near 0: the class head has hardly learnt; train longer or raise learning_rate.")
    as_read = _mean_best_iou(dataset, dataset.boxes, detections)
    lines.append(f"best overlap (IoU) of a detection with each ground-truth box, mean: {as_read:.3f}")
    for reading, boxes in _other_readings(dataset).items():
        overlap = _mean_best_iou(dataset, boxes, detections)
        if overlap > as_read + 0.1:
            lines.append(
                f"the boxes would fit better ({overlap:.3f}) if {reading}: check the order of bbox and --box_order."
            )
    return lines


def _histogram(classes: npt.NDArray[np.int32], names: npt.NDArray[np.object_]) -> str:
    counts = np.bincount(classes, minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    listed = [f"{names[i]} {counts[i]}" for i in order[:10] if counts[i]]
    return ", ".join(listed) or "none"


def _other_readings(dataset: DetectionDataset) -> dict[str, npt.NDArray[np.float32]]:
    """The same four numbers taken in another order, as normalised [ymin, xmin, ymax, xmax]."""
    ymin, xmin, ymax, xmax = dataset.boxes.T
    return {
        "bbox were [x, y, width, height]": np.stack([ymin, xmin, ymin + ymax, xmin + xmax], axis=1),
        "bbox were [xmin, ymin, xmax, ymax]": np.stack([ymin, xmin, ymax - ymin, xmax - xmin], axis=1),
        "x and y were exchanged": np.stack([xmin, ymin, xmax, ymax], axis=1),
    }


def _mean_best_iou(dataset: DetectionDataset, boxes: npt.NDArray[np.float32], detections: ImageDetections) -> float:
    best: list[npt.NDArray[np.float64]] = []
    for image in range(len(dataset)):
        truth = boxes[dataset.rows_of(image)]
        predicted = detections.boxes[image][detections.scores[image] > 0]
        if len(truth):
            best.append(iou_matrix(truth, predicted).max(axis=1, initial=0.0))
    return float(np.concatenate(best).mean()) if best else 0.0


def iou_matrix(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Intersection over union [P, Q] of boxes [P, 4] and [Q, 4] in one frame, min corner first."""
    a, b = first[:, None].astype(np.float64), second[None].astype(np.float64)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    intersection = sides.prod(axis=-1)
    area_a = np.clip(a[..., 2:] - a[..., :2], 0, None).prod(axis=-1)
    area_b = np.clip(b[..., 2:] - b[..., :2], 0, None).prod(axis=-1)
    return np.asarray(intersection / np.maximum(area_a + area_b - intersection, 1e-12))
