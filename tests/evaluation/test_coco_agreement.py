"""Our metrics against pycocotools on annotation files as COCO itself has them, with their own sparse ids."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tfod_transfer.data import formats
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.assessment import assess
from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics

Shared = Callable[[str], pathlib.Path]
NAMES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
BBOX = {"box_order": "xywh", "invalid_boxes": "clip", "max_findings": 0.5}


def noisy(dataset: DetectionDataset, seed: int, width: int = 100) -> ImageDetections:
    """Detections as of a middling model: some boxes moved, missed, doubled or of another class, and some of nothing."""
    random = np.random.default_rng(seed)
    count = len(dataset)
    found = ImageDetections(
        np.zeros((count, width, 4), np.float32),
        np.zeros((count, width), np.int32),
        np.zeros((count, width), np.float32),
    )
    for image in range(count):
        truth = dataset.boxes[dataset.rows_of(image)]
        rows = random.permutation(np.repeat(np.arange(len(truth)), random.integers(0, 3, len(truth))))[: width - 10]
        sides = np.tile(truth[rows, 2:] - truth[rows, :2], 2)
        boxes = truth[rows] + random.normal(0, 0.08, sides.shape) * sides
        corners = np.sort(random.random((10, 2, 2)), axis=1).reshape(10, 4)
        boxes = np.concatenate([boxes, corners]).clip(0, 1)
        classes = dataset.classes[dataset.rows_of(image)][rows]
        classes = np.concatenate([classes, np.zeros(10, np.int32)])
        swapped = random.random(len(classes)) < 0.2
        classes[swapped] = random.integers(0, dataset.num_classes, swapped.sum())
        scores = np.sort(random.random(len(boxes)).round(2))[::-1]  # with equal ones among them
        found.boxes[image, : len(boxes)], found.classes[image, : len(boxes)] = boxes, classes
        found.scores[image, : len(boxes)] = scores
    return found


def plainly(content: dict[str, Any], dataset: DetectionDataset, detections: ImageDetections, folder: pathlib.Path):
    """Pycocotools on files: the twelve numbers, and AP and AP50 by category id."""
    results = []
    for image, image_id in enumerate(dataset.image_ids):
        height, width = dataset.sizes[image].tolist()
        for box, label, score in zip(
            detections.boxes[image].tolist(), detections.classes[image], detections.scores[image].tolist(), strict=True
        ):
            if score > 0:
                x, y = box[1] * width, box[0] * height
                sides = [box[3] * width - x, box[2] * height - y]
                category = dataset.category_ids[label]
                results.append({"image_id": image_id, "category_id": category, "score": score, "bbox": [x, y, *sides]})
    (folder / "truth.json").write_text(json.dumps(content))
    (folder / "results.json").write_text(json.dumps(results))
    truth = COCO(str(folder / "truth.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    by_class = {}
    for row, category in enumerate(sorted(truth.getCatIds())):
        precision = evaluation.eval["precision"][:, :, row, 0, -1]
        by_class[category] = (precision.mean(), precision[0].mean())
    return evaluation.stats, by_class


def coco_photographs(shared: Shared) -> tuple[pathlib.Path, dict[str, Any]]:
    folder = shared("data/coco_permissive")
    return folder / "images", json.loads((folder / "coco.json").read_text())


def blood_cells(shared: Shared) -> tuple[pathlib.Path, dict[str, Any]]:
    """The same in COCO's order, with the ids that it has; one box without area is left out."""
    folder = shared("data/bccd/test")
    content = json.loads((folder / "annotations.json").read_text())
    for number, each in enumerate(content["annotations"], start=1):
        xmin, ymin, xmax, ymax = each["bbox"]
        each.update(
            id=number, iscrowd=0, bbox=[xmin, ymin, xmax - xmin, ymax - ymin], area=(xmax - xmin) * (ymax - ymin)
        )
    content["annotations"] = [each for each in content["annotations"] if each["area"] > 0]
    return folder / "images", content


def awkward_photographs(shared: Shared) -> tuple[pathlib.Path, dict[str, Any]]:
    """Sparse ids far apart, a crowd here and there, images without boxes, and areas on COCO's very limits."""
    images, content = coco_photographs(shared)
    for image in content["images"]:
        image["id"] = 1_000_003 * image["id"] + 17
    for category in content["categories"]:
        category["id"] = 13 * category["id"] + 5
    kept = []
    for number, each in enumerate(content["annotations"]):
        if each["image_id"] % 9 == 0:
            continue
        each.update(id=7 * number + 100, image_id=1_000_003 * each["image_id"] + 17, iscrowd=int(number % 6 == 0))
        each["category_id"] = 13 * each["category_id"] + 5
        if number % 5 == 0:
            side = (32, 96)[number % 2]
            each.update(bbox=[1, 2, side, side], area=side * side)
        kept.append(each)
    return images, {**content, "annotations": kept}


@pytest.mark.parametrize("make", [coco_photographs, blood_cells, awkward_photographs])
@pytest.mark.parametrize("seed", [1, 2])
def test_metrics_are_those_of_pycocotools_on_the_files(
    make: Callable[[Shared], tuple[pathlib.Path, dict[str, Any]]], seed: int, shared: Shared, tmp_path: pathlib.Path
) -> None:
    images, content = make(shared)
    (tmp_path / "images").symlink_to(images)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    dataset = formats.read_dataset(str(tmp_path), **BBOX)
    assert (len(dataset), dataset.num_boxes) == (len(content["images"]), len(content["annotations"]))
    detections = noisy(dataset, seed)
    stats, by_class = plainly(content, dataset, detections, tmp_path)
    for metrics in (coco_metrics(dataset, detections), assess(dataset, detections).metrics):
        ours = [-1 if metrics.summary[name] is None else metrics.summary[name] for name in NAMES]
        np.testing.assert_allclose(ours, stats, rtol=0, atol=1e-6)
        assert 0.1 < ours[0] < 0.9  # there is something to compare
        for values, category in zip(metrics.per_class.values(), dataset.category_ids, strict=True):
            found = [-1 if values[name] is None else values[name] for name in ("AP", "AP50")]
            np.testing.assert_allclose(found, by_class[category], rtol=0, atol=1e-6)
