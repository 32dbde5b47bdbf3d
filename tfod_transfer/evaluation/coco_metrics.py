"""COCO detection metrics of a set of detections, by pycocotools."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfod_transfer.data.dataset import DetectionDataset

# The order of COCOeval.stats.
_STATISTICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
_RECALLS = ("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large")
_IOU_50 = 0  # index into COCOeval's thresholds .50:.05:.95
_ALL_AREAS = 0
_MAX_100 = -1
_DECIMALS = 3


@dataclasses.dataclass(frozen=True)
class ImageDetections:
    """What a detector found in N images, as NumPy arrays.

    Attributes:
      boxes: float32 [N, D, 4], normalised [ymin, xmin, ymax, xmax] in the upright image.
      classes: int32 [N, D], 0..K-1.
      scores: float32 [N, D], highest first; 0 marks padding.
    """

    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]


def concatenate(parts: Sequence[ImageDetections]) -> ImageDetections:
    """The detections of several groups of images, one after the other."""
    return ImageDetections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


@dataclasses.dataclass(frozen=True)
class CocoMetrics:
    """COCO's twelve numbers in [0, 1] (None where no ground truth is of that kind), and AP for each class."""

    summary: dict[str, float | None]
    per_class: dict[str, dict[str, Any]]

    @property
    def ap(self) -> float:
        """AP averaged over IoU .50:.05:.95 and classes; 0 when there is no ground truth at all."""
        return self.summary["AP"] or 0.0

    @property
    def ap50(self) -> float:
        return self.summary["AP50"] or 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**self.summary, "per_class": self.per_class}


def coco_metrics(dataset: DetectionDataset, detections: ImageDetections) -> CocoMetrics:
    """Compares detections with the ground truth of `dataset`, image by image in the same order.

    Crowd regions are ignored as in COCO. Areas (small, medium, large) are of boxes, in pixels of the upright image.

    Raises:
      ValueError: not one row of detections for each image.
    """
    return metrics_of(dataset, run_cocoeval(dataset, detections))


def run_cocoeval(dataset: DetectionDataset, detections: ImageDetections) -> COCOeval | None:
    """Pycocotools' evaluation of the same, summed up; None when nothing was found or there is nothing to find.

    In it image i of the data set has the id i, class k the category id k, box m the annotation id m + 1, and the
    detections have the ids 1, 2, ... in the order of `np.nonzero(detections.scores > 0)`.

    Raises:
      ValueError: not one row of detections for each image.
    """
    if len(detections.scores) != len(dataset):
        raise ValueError(f"expected detections of {len(dataset)} images, found those of {len(detections.scores)}")
    results = _results(dataset, detections)
    if not results or not dataset.num_boxes:
        return None
    ground_truth = _quiet(_to_coco, dataset)
    evaluation = COCOeval(ground_truth, _quiet(ground_truth.loadRes, results), "bbox")
    for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
        _quiet(step)
    return evaluation


def metrics_of(dataset: DetectionDataset, evaluation: COCOeval | None) -> CocoMetrics:
    """The metrics that `run_cocoeval` measured on `dataset`."""
    if evaluation is None:
        return _without_results(dataset)
    stats = [None if value < 0 else float(value) for value in evaluation.stats]
    # precision: [thresholds, recalls, classes, areas, max detections]; -1 where a class has no ground truth.
    precision = evaluation.eval["precision"][:, :, :, _ALL_AREAS, _MAX_100]
    counts = _boxes_per_class(dataset)
    per_class = {
        class_key(dataset, index): {
            "AP": _mean(precision[:, :, index]),
            "AP50": _mean(precision[_IOU_50, :, index]),
            "boxes": int(counts[index]),
        }
        for index in range(dataset.num_classes)
    }
    return CocoMetrics(dict(zip((*_STATISTICS, *_RECALLS), stats, strict=True)), per_class)


def _without_results(dataset: DetectionDataset) -> CocoMetrics:
    counts = _boxes_per_class(dataset)
    values: dict[str, float | None] = dict.fromkeys((*_STATISTICS, *_RECALLS), 0.0 if dataset.num_boxes else None)
    zero: dict[str, dict[str, Any]] = {
        class_key(dataset, index): {
            "AP": 0.0 if counts[index] else None,
            "AP50": 0.0 if counts[index] else None,
            "boxes": int(counts[index]),
        }
        for index in range(dataset.num_classes)
    }
    return CocoMetrics(values, zero)


def class_key(dataset: DetectionDataset, index: int) -> str:
    """The class name; with its id where two classes share a name."""
    name = dataset.class_names[index]
    return f"{name} ({dataset.category_ids[index]})" if dataset.class_names.count(name) > 1 else name


def _boxes_per_class(dataset: DetectionDataset) -> npt.NDArray[np.int64]:
    return np.bincount(dataset.classes[~dataset.is_crowd], minlength=dataset.num_classes)


def _to_coco(dataset: DetectionDataset) -> COCO:
    images = [{"id": i, "height": int(h), "width": int(w)} for i, (h, w) in enumerate(dataset.sizes)]
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)
    # Rounded to what annotation files write: float32 would move an area of exactly 32 or 96 squared to one side.
    boxes_xywh_px = np.round(_to_xywh_px(dataset.boxes, dataset.sizes[image_of_box]), _DECIMALS).tolist()
    columns = zip(
        image_of_box.tolist(), dataset.classes.tolist(), dataset.is_crowd.tolist(), boxes_xywh_px, strict=True
    )
    annotations = [
        # COCOeval takes an id of 0 for "not matched", so they start at 1.
        {"id": i, "image_id": image, "category_id": c, "iscrowd": int(crowd), "bbox": box, "area": box[2] * box[3]}
        for i, (image, c, crowd, box) in enumerate(columns, start=1)
    ]
    categories = [{"id": index} for index in range(dataset.num_classes)]
    coco = COCO()
    coco.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    coco.createIndex()
    return coco


def _results(dataset: DetectionDataset, detections: ImageDetections) -> list[dict[str, Any]]:
    image, row = np.nonzero(detections.scores > 0)
    boxes = _to_xywh_px(detections.boxes[image, row], dataset.sizes[image]).tolist()
    classes = detections.classes[image, row].tolist()
    scores = detections.scores[image, row].tolist()
    return [
        {"image_id": i, "category_id": c, "score": s, "bbox": box}
        for i, c, s, box in zip(image.tolist(), classes, scores, boxes, strict=True)
    ]


def _to_xywh_px(boxes: npt.NDArray[np.float32], sizes: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Normalised [ymin, xmin, ymax, xmax] [M, 4] and sizes (height, width) [M, 2] to pixel [x, y, width, height]."""
    scale = np.concatenate([sizes, sizes], axis=1).astype(np.float64)
    ymin, xmin, ymax, xmax = (boxes * scale).T
    return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=1)


def _mean(precision: npt.NDArray[np.float64]) -> float | None:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else None


def _quiet(function: Any, *args: Any) -> Any:
    """Pycocotools prints its progress; nobody asked for it."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*args)
