"""A small measured data set with awkward names, for reports."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.assessment import assess
from tfod_transfer.evaluation.coco_metrics import CocoMetrics, ImageDetections
from tfod_transfer.evaluation.report_content import DataPart, ReportContent

NAMES = ('<b>bold</b> & "quoted"', "猫" * 30, "plain|`name`_*")
RESTORE = {
    "origin": "weights of <somebody>",
    "totals": {
        "restored": {"variables": 3, "parameters": 1200},
        "reinitialized": {"variables": 1, "parameters": 12},
        "unused": {"variables": 0, "parameters": 0},
    },
    "kept_classes": [NAMES[0]],
    "new_classes": list(NAMES[1:]),
    "dropped_classes": [],
}
FINDINGS = [
    {"reason": "zero_area_box", "file": "a/<i>.json", "message": "this box has no area", "annotation_index": 3}
    | {"value": [1, 2, 1, 5], "action": "dropped"},
    {"reason": "not_upright", "file": "b.jpg", "message": "turned", "annotation_index": None}
    | {"value": 6, "action": "noted"},
    {"reason": "zero_area_box", "file": "c.json", "message": "this box has no area", "annotation_index": 5}
    | {"value": [0, 0, 0, 0], "action": "dropped"},
]  # fmt: skip


def measured(
    folder: pathlib.Path, count: int, side: int, quality: float = 0.7
) -> tuple[DetectionDataset, ImageDetections]:
    """Images of noise, four boxes in each but the last, and detections of which about `quality` are right."""
    random = np.random.default_rng(1)
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(count):
        pixels = random.integers(0, 256, (side, side + 40, 3), dtype=np.uint8)
        paths.append(str(folder / f"picture <{number}>.jpg"))
        Image.fromarray(pixels).save(paths[-1], quality=95)
    boxes_per_image = [4] * (count - 1) + [0]
    total = sum(boxes_per_image)
    corners = random.random((total, 2)) * 0.5
    boxes = np.concatenate([corners, corners + 0.1 + 0.3 * random.random((total, 2))], axis=1).astype(np.float32)
    dataset = DetectionDataset(
        image_paths=paths,
        image_ids=list(range(count)),
        sizes=np.tile(np.array([[side, side + 40]], np.int32), (count, 1)),
        orientations=np.ones(count, np.uint8),
        boxes=boxes,
        classes=np.arange(total, dtype=np.int32) % len(NAMES),
        is_crowd=np.arange(total) == 1,
        offsets=np.cumsum([0, *boxes_per_image]).astype(np.int64),
        class_names=NAMES,
        category_ids=(1, 2, 3),
        description="drawn & described",
    )
    found = ImageDetections(
        np.zeros((count, 5, 4), np.float32), np.zeros((count, 5), np.int32), np.zeros((count, 5), np.float32)
    )
    for number in range(count - 1):
        rows = dataset.rows_of(number)
        shift = np.where(random.random((4, 1)) < quality, 0.0, 0.4)
        found.boxes[number, :4] = (dataset.boxes[rows] + shift).clip(0, 1)
        found.classes[number, :4] = dataset.classes[rows]
        found.scores[number, :4] = np.sort(random.random(4))[::-1] * 0.9 + 0.05
    return dataset, found


def make_content(folder: pathlib.Path, count: int = 8, side: int = 200, **changes: Any) -> ReportContent:
    """A report's content with every part that there is."""
    dataset, detections = measured(folder, count, side)
    assessment = assess(dataset, detections)
    lower = {name: {**values, "AP": 0.01, "AP50": 0.02} for name, values in assessment.metrics.per_class.items()}
    history = [
        {
            **{"epoch": epoch, "loss": 1 / (epoch + 1), "classification_loss": 0.5 / (epoch + 1)},
            **{"localization_loss": 0.2 / (epoch + 1), "learning_rate": 0.01, "samples_per_second": 20.0 + epoch},
            **{"AP": 0.1 * epoch, "AP50": 0.2 * epoch, "val_localization_loss": 0.3, "val_classification_loss": 0.4},
        }
        for epoch in range(3)
    ]
    content = ReportContent(
        title="Training report",
        model_id="some-model",
        image_size=320,
        dataset=dataset,
        detections=detections,
        assessment=assessment,
        data=[DataPart("training", 30, 90, "a folder"), DataPart.of("validation", dataset)],
        environment={"tfod_transfer": "9.8.7", "Python": "3.11.0"},
        created="2031-02-03 04:05 UTC",
        license="Apache-2.0",
        seconds=3723.0,
        findings=FINDINGS,
        before=CocoMetrics({**assessment.metrics.summary, "AP": 0.0123}, lower),
        history=history,
        best_epoch=1,
        restore=RESTORE,
        hyperparameters={
            "optimizer": "adam",
            "learning_rate": 0.004,
            "batch_size": 8,
            "seed": 3,
            "augmentation": "zoo",
        },
        recipe={"optimizer": "adam", "learning_rate": 0.002, "batch_size": 8, "seed": 0, "augmentation": "zoo"},
    )
    return dataclasses.replace(content, **changes)
