"""What a report and a model card are made from: filled by a training run and by `evaluate` alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.assessment import Assessment
from tfod_transfer.evaluation.coco_metrics import CocoMetrics, ImageDetections


@dataclasses.dataclass(frozen=True)
class DataPart:
    """One data set that took part.

    Attributes:
      role: "training", "validation", "test", ...
      images: how many images it has.
      boxes: how many boxes.
      description: where it came from, how it was read or divided.
    """

    role: str
    images: int
    boxes: int
    description: str

    @classmethod
    def of(cls, role: str, dataset: DetectionDataset, description: str | None = None) -> DataPart:
        """Describes `dataset`, by its own description without another one."""
        return cls(role, len(dataset), dataset.num_boxes, description or dataset.description)


@dataclasses.dataclass(frozen=True)
class ReportContent:
    """All that is told. What is None or empty is left out.

    Attributes:
      title: e.g. "Training report".
      model_id: registry entry that the detector was made from.
      image_size: height and width of its input in pixels.
      dataset: the images that it was measured on.
      detections: what it found in them.
      assessment: `assess(dataset, detections)`.
      data: the data sets that took part, the one that was measured on last.
      environment: name -> value, as `environment.describe()` gives it.
      created: when, as text.
      license: of the weights that the registry names for the model, by SPDX.
      seconds: how long it took.
      findings: what was wrong with the data, as in findings.json.
      before: metrics on the same images before training.
      history: epochs, as in metrics.json.
      best_epoch: the one whose weights these are.
      restore: as in restore.json.
      hyperparameters: name -> value.
      recipe: name -> value that the model's recipe would have had.
      diagnosis: what to look at when nothing was found right.
    """

    title: str
    model_id: str
    image_size: int
    dataset: DetectionDataset
    detections: ImageDetections
    assessment: Assessment
    data: Sequence[DataPart]
    environment: Mapping[str, str]
    created: str
    license: str | None = None
    seconds: float | None = None
    findings: Sequence[Mapping[str, Any]] = ()
    before: CocoMetrics | None = None
    history: Sequence[Mapping[str, Any]] = ()
    best_epoch: int | None = None
    restore: Mapping[str, Any] | None = None
    hyperparameters: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] | None = None
    diagnosis: Sequence[str] = ()

    @property
    def class_origins(self) -> tuple[str, ...] | None:
        """For each class "kept" (the checkpoint knew it) or "new"; None without a record of the restore."""
        if self.restore is None:
            return None
        kept = set(self.restore["kept_classes"])
        return tuple("kept" if name in kept else "new" for name in self.dataset.class_names)
