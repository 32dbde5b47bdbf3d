"""COCO metrics of columns, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics, concatenate
from tfod_transfer.evaluation.diagnosis import diagnose, iou_matrix


def make_dataset(boxes: list[list[list[float]]], classes: list[list[int]], crowd: list[list[bool]] | None = None):
    counts = [len(each) for each in boxes]
    flat_crowd = [flag for flags in crowd for flag in flags] if crowd else [False] * sum(counts)
    return DetectionDataset(
        image_paths=[f"{i}.jpg" for i in range(len(boxes))],
        image_ids=list(range(len(boxes))),
        sizes=np.full((len(boxes), 2), (100, 200), np.int32),
        orientations=np.ones(len(boxes), np.uint8),
        boxes=np.array([box for each in boxes for box in each], np.float32).reshape(-1, 4),
        classes=np.array([label for each in classes for label in each], np.int32),
        is_crowd=np.array(flat_crowd, bool),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        class_names=("cat", "dog"),
        category_ids=(1, 2),
    )


def found(*images: list[tuple[list[float], int, float]]) -> ImageDetections:
    width = max(len(image) for image in images)
    boxes, classes = np.zeros((len(images), width, 4), np.float32), np.zeros((len(images), width), np.int32)
    scores = np.zeros((len(images), width), np.float32)
    for i, image in enumerate(images):
        for j, (box, label, score) in enumerate(image):
            boxes[i, j], classes[i, j], scores[i, j] = box, label, score
    return ImageDetections(boxes, classes, scores)


A, B = [0.1, 0.1, 0.5, 0.4], [0.5, 0.6, 0.9, 0.9]


def test_everything_found() -> None:
    metrics = coco_metrics(make_dataset([[A, B]], [[0, 1]]), found([(A, 0, 0.9), (B, 1, 0.8)]))
    assert metrics.ap == pytest.approx(1.0)
    assert metrics.per_class["cat"] == {"AP": pytest.approx(1.0), "AP50": pytest.approx(1.0), "boxes": 1}


def test_order_of_coordinates_and_units_count() -> None:
    wide, transposed = [0.1, 0.6, 0.2, 0.9], [0.6, 0.1, 0.9, 0.2]
    assert coco_metrics(make_dataset([[wide]], [[0]]), found([(transposed, 0, 0.9)])).ap50 == 0.0


def test_a_wrong_class_and_a_missing_class() -> None:
    metrics = coco_metrics(make_dataset([[A, A]], [[0, 1]]), found([(A, 0, 0.9), (A, 0, 0.8)]))
    assert metrics.per_class["cat"]["AP50"] == pytest.approx(1.0)
    assert metrics.per_class["dog"]["AP50"] == pytest.approx(0.0)
    assert metrics.ap50 == pytest.approx(0.5)


def test_a_class_without_ground_truth_does_not_count() -> None:
    metrics = coco_metrics(make_dataset([[A]], [[0]]), found([(A, 0, 0.9), (B, 1, 0.95)]))
    assert metrics.ap == pytest.approx(1.0)
    assert metrics.per_class["dog"] == {"AP": None, "AP50": None, "boxes": 0}


def test_a_half_overlap_counts_at_low_thresholds_only() -> None:
    shorter = [0.1, 0.1, 0.1 + 0.4 * 0.62, 0.4]  # IoU 0.62: thresholds .50, .55, .60 of ten
    metrics = coco_metrics(make_dataset([[A]], [[0]]), found([(shorter, 0, 0.9)]))
    assert metrics.ap == pytest.approx(0.3)
    assert metrics.ap50 == pytest.approx(1.0)


def test_crowd_regions_are_ignored() -> None:
    dataset = make_dataset([[A, B]], [[0, 0]], crowd=[[False, True]])
    metrics = coco_metrics(dataset, found([(A, 0, 0.5), (B, 0, 0.9)]))
    assert metrics.ap == pytest.approx(1.0)
    assert metrics.per_class["cat"]["boxes"] == 1


@pytest.mark.parametrize(
    ("boxes", "classes", "expected"),
    [
        ([[A], []], [[0], []], 0.0),  # nothing found
        ([[], []], [[], []], None),  # nothing to find
    ],
)
def test_nothing_found(boxes: list, classes: list, expected: float | None) -> None:
    metrics = coco_metrics(make_dataset(boxes, classes), found([], [(A, 0, 0.0)]))
    assert metrics.summary["AP"] == expected
    assert metrics.ap == 0.0


def test_classes_of_one_name_are_told_apart() -> None:
    import dataclasses

    dataset = dataclasses.replace(make_dataset([[A, B]], [[0, 1]]), class_names=("cat", "cat"))
    metrics = coco_metrics(dataset, found([(A, 0, 0.9)]))
    assert set(metrics.per_class) == {"cat (1)", "cat (2)"}


def test_groups_are_joined_in_order() -> None:
    joined = concatenate([found([(A, 0, 0.9)]), found([(B, 1, 0.8)])])
    assert joined.classes.tolist() == [[0], [1]]


def test_iou_matrix() -> None:
    first = np.array([[0, 0, 2, 2], [0, 0, 0, 0]], np.float32)
    second = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], np.float32)
    assert iou_matrix(first, second) == pytest.approx(np.array([[1, 1 / 7, 0], [0, 0, 0]]))


def test_diagnosis_names_low_scores_and_histograms() -> None:
    lines = "\n".join(diagnose(make_dataset([[A, B]], [[0, 0]]), found([(A, 1, 0.01)])))
    assert "ground truth by class: cat 2" in lines
    assert "detections by class (best 20 of each image): dog 1" in lines
    assert "highest score: 0.0100" in lines
    assert "hardly learnt" in lines
    assert "--box_order" not in lines


def test_diagnosis_suspects_the_order_of_coordinates() -> None:
    wide = [0.1, 0.6, 0.2, 0.9]
    transposed = [wide[1], wide[0], wide[3], wide[2]]
    lines = "\n".join(diagnose(make_dataset([[transposed]], [[0]]), found([(wide, 0, 0.9)])))
    assert "if x and y were exchanged" in lines
