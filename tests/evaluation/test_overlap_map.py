"""The mAP at one overlap, by hand and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_coco_metrics import A, B, found, make_dataset

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.evaluation.overlap_map import overlap_map

NEAR_A = [0.1, 0.1, 0.5, 0.3]  # two thirds of A


@pytest.mark.parametrize(
    ("boxes", "classes", "detections", "overlap", "expected"),
    [
        pytest.param([[A, B]], [[0, 1]], [[(A, 0, 0.9), (B, 1, 0.8)]], 0.5, 1.0, id="all found"),
        pytest.param([[A]], [[0]], [[(NEAR_A, 0, 0.9)]], 0.5, 1.0, id="near enough"),
        pytest.param([[A]], [[0]], [[(NEAR_A, 0, 0.9)]], 0.7, 0.0, id="not near enough"),
        pytest.param([[A]], [[0]], [[(A, 1, 0.9)]], 0.5, 0.0, id="another class"),
        pytest.param([[A]], [[0]], [[(A, 0, 0.9), (B, 1, 0.8)]], 0.5, 1.0, id="a class without boxes does not count"),
        pytest.param([[A]], [[0]], [[(B, 0, 0.9), (A, 0, 0.8)]], 0.5, 0.5, id="a wrong one before it"),
        pytest.param([[A]], [[0]], [[(A, 0, 0.9), (B, 0, 0.8)]], 0.5, 1.0, id="a wrong one after it"),
        pytest.param([[A, B]], [[0, 0]], [[(A, 0, 0.9), (NEAR_A, 0, 0.8)]], 0.5, 0.5, id="one box found twice"),
        pytest.param([[A], []], [[0], []], [[], [(A, 0, 0.9)]], 0.5, 0.0, id="in another image"),
        pytest.param([[]], [[]], [[(A, 0, 0.9)]], 0.5, 0.0, id="nothing to find"),
    ],
)
def test_by_hand(boxes: list, classes: list, detections: list, overlap: float, expected: float) -> None:
    assert overlap_map(make_dataset(boxes, classes), found(*detections), overlap) == pytest.approx(expected)


def test_crowds_count_neither_way() -> None:
    dataset = make_dataset([[A, B]], [[0, 0]], crowd=[[True, False]])
    assert overlap_map(dataset, found([(A, 0, 0.9), (A, 0, 0.85), (B, 0, 0.8)]), 0.5) == 1.0


def slow_map(dataset: DetectionDataset, detections: ImageDetections, overlap: float) -> float:
    """One detection after the other; the area as a sum over the steps of recall."""

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
        return sides.prod() / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - sides.prod())

    areas = []
    for label in range(dataset.num_classes):
        count = int((dataset.classes == label).sum())
        if not count:
            continue
        rows = [
            (float(detections.scores[i, j]), i, detections.boxes[i, j].astype(float))
            for i, j in zip(*np.nonzero((detections.scores > 0) & (detections.classes == label)), strict=True)
        ]
        rows.sort(key=lambda row: -row[0])
        taken, curve, right = set(), [], 0
        for number, (_, image, box) in enumerate(rows, start=1):
            mine = range(dataset.offsets[image], dataset.offsets[image + 1])
            rivals = [m for m in mine if dataset.classes[m] == label]
            best = max(rivals, key=lambda m: iou(box, dataset.boxes[m].astype(float)), default=None)
            if best is not None and best not in taken and iou(box, dataset.boxes[best].astype(float)) > overlap:
                taken.add(best)
                right += 1
            curve.append((right / count, right / number))
        area, before = 0.0, 0.0
        for recall, _ in curve:
            area += (recall - before) * max((precision for other, precision in curve if other >= recall), default=0.0)
            before = recall
        areas.append(area)
    return sum(areas) / len(areas) if areas else 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), overlap=st.sampled_from([0.3, 0.5, 0.75]))
def test_agrees_with_one_detection_at_a_time(seed: int, overlap: float) -> None:
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> list[list[float]]:
        corner = rng.integers(0, 3, (count, 2)) / 4
        return np.concatenate([corner, corner + rng.uniform(0.2, 0.3, (count, 2))], axis=1).astype(np.float32).tolist()

    counts = rng.integers(0, 5, 3)
    dataset = make_dataset([boxes(n) for n in counts], [rng.integers(0, 2, n).tolist() for n in counts])
    guesses = [[(box, int(rng.integers(0, 2)), float(rng.uniform(0.1, 1))) for box in boxes(6)] for _ in counts]
    detections = found(*guesses)
    assert overlap_map(dataset, detections, overlap) == pytest.approx(slow_map(dataset, detections, overlap))
