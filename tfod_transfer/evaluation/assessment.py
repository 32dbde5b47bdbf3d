"""Everything that a report says of a set of detections, measured once."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation import curves
from tfod_transfer.evaluation.coco_metrics import CocoMetrics, ImageDetections, class_key, metrics_of, run_cocoeval
from tfod_transfer.evaluation.confusion import confusion_matrix
from tfod_transfer.evaluation.curves import OperatingPoint, Sweep
from tfod_transfer.evaluation.matches import IOU, Matches, find_matches
from tfod_transfer.evaluation.outcomes import ImageOutcomes, image_outcomes

BACKGROUND = "background"
#: Where counts are taken when nothing is right at any threshold.
FALLBACK_THRESHOLD = 0.5
# COCO's limits of areas, in pixels of the image, and the words that go with them.
_SIZES = (
    ("small", "under 32 x 32 px", 0.0, 32.0**2),
    ("medium", "32 x 32 to 96 x 96 px", 32.0**2, 96.0**2),
    ("large", "over 96 x 96 px", 96.0**2, np.inf),
)


@dataclasses.dataclass(frozen=True)
class SizeBucket:
    """The boxes of one of COCO's three sizes.

    Attributes:
      name: small, medium or large.
      limits: in words.
      boxes: how many there are, crowd regions left out.
      ap: COCO's AP over IoU .50:.05:.95; None without boxes.
      recall: COCO's average recall with 100 detections an image; None without boxes.
      found: how many are found at IoU 0.50 and the best threshold.
    """

    name: str
    limits: str
    boxes: int
    ap: float | None
    recall: float | None
    found: int


@dataclasses.dataclass(frozen=True)
class Assessment:
    """Detections of N images and K classes compared with the ground truth.

    Attributes:
      metrics: COCO's.
      classes: K names, each once, as in `metrics.per_class`.
      matches: which detection found which box.
      precision_at_recall: float64 [K, 101], COCO's curves at IoU 0.50; NaN for a class without boxes.
      sweep: counts at each score threshold, all classes together.
      best: the threshold with the best F1 over all classes together; None when nothing is right.
      best_by_class: the same for each class alone.
      confusion: int64 [K + 1, K + 1] at `threshold`, background last.
      sizes: small, medium and large boxes.
      images: each image at `threshold`.
    """

    metrics: CocoMetrics
    classes: tuple[str, ...]
    matches: Matches
    precision_at_recall: npt.NDArray[np.float64]
    sweep: Sweep
    best: OperatingPoint | None
    best_by_class: tuple[OperatingPoint | None, ...]
    confusion: npt.NDArray[np.int64]
    sizes: tuple[SizeBucket, ...]
    images: ImageOutcomes

    @property
    def threshold(self) -> float:
        """The score from which on detections are counted: that of `best`."""
        return self.best.threshold if self.best else FALLBACK_THRESHOLD

    def to_dict(self) -> dict[str, Any]:
        """COCO metrics, best thresholds, confusion matrix and sizes, for metrics.json."""
        by_class = zip(self.classes, self.best_by_class, strict=True)
        return {
            **self.metrics.to_dict(),
            "images": len(self.images.right),
            "best_f1": {
                "iou": IOU,
                "all": self.best.to_dict() if self.best else None,
                "per_class": {name: point.to_dict() if point else None for name, point in by_class},
            },
            "confusion_matrix": {
                "iou": IOU,
                "score_threshold": self.threshold,
                "labels": [*self.classes, BACKGROUND],
                "ground_truth_by_prediction": self.confusion.tolist(),
            },
            "sizes": [dataclasses.asdict(each) for each in self.sizes],
        }


def assess(dataset: DetectionDataset, detections: ImageDetections) -> Assessment:
    """Compares detections with the ground truth of `dataset`, image by image in the same order.

    Raises:
      ValueError: not one row of detections for each image.
    """
    evaluation = run_cocoeval(dataset, detections)
    metrics = metrics_of(dataset, evaluation)
    matches = find_matches(dataset, detections, evaluation)
    sweep = curves.sweep(matches, dataset)
    best = sweep.best()
    threshold = best.threshold if best else FALLBACK_THRESHOLD
    rows = range(dataset.num_classes)
    has_boxes = np.isin(np.arange(dataset.num_classes), dataset.classes[~dataset.is_crowd])
    return Assessment(
        metrics=metrics,
        classes=tuple(class_key(dataset, row) for row in rows),
        matches=matches,
        precision_at_recall=curves.recall_curves(evaluation, has_boxes),
        sweep=sweep,
        best=best,
        best_by_class=tuple(curves.sweep(matches, dataset, row).best() for row in rows),
        confusion=confusion_matrix(dataset, detections, matches, threshold),
        sizes=_sizes(dataset, metrics, matches, threshold),
        images=image_outcomes(dataset, matches, threshold),
    )


def _sizes(
    dataset: DetectionDataset, metrics: CocoMetrics, matches: Matches, threshold: float
) -> tuple[SizeBucket, ...]:
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)
    sides_px = (dataset.boxes[:, 2:] - dataset.boxes[:, :2]).astype(np.float64) * dataset.sizes[image_of_box]
    areas = np.round(sides_px, 3).prod(axis=1)
    is_found = np.zeros(dataset.num_boxes, bool)
    is_found[matches.box[matches.kept(threshold) & matches.right]] = True
    buckets = []
    for name, limits, low, high in _SIZES:
        inside = (areas >= low) & (areas < high) & ~dataset.is_crowd
        ap, recall = metrics.summary[f"AP_{name}"], metrics.summary[f"AR_{name}"]
        buckets.append(SizeBucket(name, limits, int(inside.sum()), ap, recall, int((is_found & inside).sum())))
    return tuple(buckets)
