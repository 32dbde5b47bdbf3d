"""A target held against the artifact's SavedModel, each in its own runtime: by AP, or by the boxes that both find."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfod_transfer import errors
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics, concatenate
from tfod_transfer.evaluation.diagnosis import iou_matrix
from tfod_transfer.serving.runnable import Detector
from tfod_transfer.targets.options import TargetOptions

BEST_BOXES = 10
IOU = 0.5


@dataclasses.dataclass(frozen=True)
class ApTest:
    """AP@[.5:.95] of both on a data set."""

    images: int
    savedmodel_ap: float
    target_ap: float

    @property
    def difference(self) -> float:
        return self.target_ap - self.savedmodel_ap

    def __str__(self) -> str:
        return (
            f"AP of the SavedModel {self.savedmodel_ap:.4f}, of the target {self.target_ap:.4f}, difference "
            f"{self.difference:+.4f}, on {self.images} images"
        )

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "difference": self.difference}


@dataclasses.dataclass(frozen=True)
class BoxTest:
    """How many of the SavedModel's best boxes the target finds: of the same class, with an overlap of IOU."""

    images: int
    boxes: int
    found: int

    @property
    def difference(self) -> float:
        """The share that is missing."""
        return 1 - self.found / self.boxes if self.boxes else 0.0

    def __str__(self) -> str:
        return (
            f"of the {self.boxes} best boxes that the SavedModel finds in {self.images} images, the target finds "
            f"{self.found}"
        )

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "missing": self.difference}


def compare_ap(dataset: DetectionDataset, savedmodel: Detector, target: Detector) -> ApTest:
    """Measures both on a data set."""
    aps = [
        coco_metrics(dataset, concatenate(list(each.detect_files(dataset.image_paths)))).ap
        for each in (savedmodel, target)
    ]
    return ApTest(len(dataset), *aps)


def compare_boxes(paths: Sequence[str], savedmodel: Detector, target: Detector) -> BoxTest:
    """Looks for the SavedModel's BEST_BOXES of each image among what the target finds."""
    boxes = found = 0
    for expected, given in zip(savedmodel.detect_files(paths), target.detect_files(paths), strict=True):
        matched = _found(expected, given)
        boxes, found = boxes + len(matched), found + int(matched.sum())
    return BoxTest(len(paths), boxes, found)


def _found(expected: ImageDetections, given: ImageDetections) -> np.ndarray[Any, np.dtype[np.bool_]]:
    counted, present = expected.scores[0, :BEST_BOXES] > 0, given.scores[0] > 0
    overlaps = iou_matrix(expected.boxes[0, :BEST_BOXES][counted], given.boxes[0][present])
    same = expected.classes[0, :BEST_BOXES][counted][:, np.newaxis] == given.classes[0][present]
    return ((overlaps >= IOU) & same).any(axis=1)


def check(test: ApTest | BoxTest, options: TargetOptions, precision: str = "float32") -> None:
    """Lets a target pass, or not.

    Args:
      test: how it went.
      options: of the target.
      precision: number format of the SavedModel.

    Raises:
      ArtifactError: the difference is larger than `options` allow.
    """
    allowed = options.allowed(precision)
    if abs(test.difference) <= allowed:
        return
    advice = ("quantise less, or " if options.quantization else "") + "let it pass with --tolerance"
    if isinstance(test, ApTest):
        what = f"AP differs by {abs(test.difference):.4f}, where at most {allowed:g} is let pass"
    else:
        what = f"{test.difference:.4f} of the boxes are missing, where at most {allowed:g} are let pass"
    raise errors.ArtifactError(f"the {options.format} model is not kept: {what} ({test}); {advice}.")
