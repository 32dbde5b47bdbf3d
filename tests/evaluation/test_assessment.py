"""Thresholds, curves, confusion, sizes and outcomes, against the obvious way to count them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation import curves
from tfod_transfer.evaluation.assessment import Assessment, assess
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.evaluation.confusion import confusions

CLASSES = 3
SIDE = 64  # pixels of the square images: boxes lie on a grid of 8, so that overlaps of exactly one half occur
Box = tuple[int, int, int, int]


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """(ymin, xmin, ymax, xmax) on the grid."""
    ymin, xmin = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    return ymin, xmin, draw(st.integers(ymin + 1, min(8, ymin + 3))), draw(st.integers(xmin + 1, min(8, xmin + 3)))


truths = st.lists(
    st.tuples(boxes(), st.integers(0, CLASSES - 1), st.sampled_from([False, False, False, True])), max_size=5
)
finds = st.lists(st.tuples(boxes(), st.integers(0, CLASSES - 1), st.integers(1, 19)), max_size=6)
image_pairs = st.lists(st.tuples(truths, finds), min_size=1, max_size=4)
Pairs = list[tuple[list[tuple[Box, int, bool]], list[tuple[Box, int, int]]]]


def columns(pairs: Pairs) -> tuple[DetectionDataset, ImageDetections]:
    flat = [truth for truths, _ in pairs for truth in truths]
    dataset = DetectionDataset(
        image_paths=[f"{i}.jpg" for i in range(len(pairs))],
        image_ids=list(range(len(pairs))),
        sizes=np.full((len(pairs), 2), SIDE, np.int32),
        orientations=np.ones(len(pairs), np.uint8),
        boxes=np.array([box for box, _, _ in flat], np.float32).reshape(-1, 4) / 8,
        classes=np.array([label for _, label, _ in flat], np.int32),
        is_crowd=np.array([crowd for _, _, crowd in flat], bool),
        offsets=np.cumsum([0, *(len(truths) for truths, _ in pairs)]).astype(np.int64),
        class_names=tuple(f"class {k}" for k in range(CLASSES)),
        category_ids=tuple(range(1, CLASSES + 1)),
    )
    detections = ImageDetections(
        np.zeros((len(pairs), 6, 4), np.float32),
        np.zeros((len(pairs), 6), np.int32),
        np.zeros((len(pairs), 6), np.float32),
    )
    for i, (_, found) in enumerate(pairs):
        for j, (box, label, score) in enumerate(sorted(found, key=lambda each: -each[2])):
            detections.boxes[i, j] = np.array(box) / 8
            detections.classes[i, j], detections.scores[i, j] = label, score / 20
    return dataset, detections


def overlap(a: Box, b: Box) -> tuple[int, int, int]:
    """Intersection, and both areas, in cells of the grid."""
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return max(0, height) * max(0, width), areas[0], areas[1]


def iou(a: Box, b: Box) -> float:
    inside, first, second = overlap(a, b)
    return inside / (first + second - inside)


@dataclasses.dataclass
class Counted:
    right: list[int]
    wrong: list[int]
    missed: list[int]
    found_rows: set[int]
    matrix: np.ndarray


def count_slowly(pairs: Pairs, threshold: float, classes: range = range(CLASSES)) -> Counted:
    """Everything at one threshold, with nothing but loops."""
    counted = Counted([], [], [], set(), np.zeros((CLASSES + 1, CLASSES + 1), int))
    first_row = 0
    for truths, found in pairs:
        ranked = [each for each in sorted(found, key=lambda each: -each[2]) if each[2] / 20 >= threshold]
        taken: dict[int, int] = {}  # truth -> detection
        left = []
        for number, (box, label, _) in enumerate(ranked):
            if label not in classes:
                continue
            same = [i for i, (_, other, crowd) in enumerate(truths) if other == label and not crowd and i not in taken]
            fitting = [i for i in same if iou(box, truths[i][0]) >= 0.5]
            if fitting:  # of equal ones COCO takes the last
                taken[max(fitting, key=lambda i: (iou(box, truths[i][0]), i))] = number
                counted.matrix[label, label] += 1
                continue
            crowds = [truth for truth, other, crowd in truths if other == label and crowd]
            if not any(overlap(box, crowd)[0] / overlap(box, crowd)[1] >= 0.5 for crowd in crowds):
                left.append(number)
        counted.right.append(len(taken))
        counted.wrong.append(len(left))
        open_truths = [
            i for i, (_, label, crowd) in enumerate(truths) if label in classes and not crowd and i not in taken
        ]
        counted.missed.append(len(open_truths))
        counted.found_rows |= {first_row + i for i in taken}
        for number in left:
            box, label, _ = ranked[number]
            fitting = [i for i in open_truths if iou(box, truths[i][0]) >= 0.5]
            if fitting:
                best = max(fitting, key=lambda i: (iou(box, truths[i][0]), -i))
                open_truths.remove(best)
                counted.matrix[truths[best][1], label] += 1
            else:
                counted.matrix[CLASSES, label] += 1
        for i in open_truths:
            counted.matrix[truths[i][1], CLASSES] += 1
        first_row += len(truths)
    return counted


@settings(max_examples=60, deadline=None)
@given(image_pairs)
def test_counts_are_those_of_loops(pairs: Pairs) -> None:
    assessment = assess(*columns(pairs))
    counted = count_slowly(pairs, assessment.threshold)
    assert assessment.images.right.tolist() == counted.right
    assert assessment.images.wrong.tolist() == counted.wrong
    assert assessment.images.missed.tolist() == counted.missed
    assert np.array_equal(assessment.confusion, counted.matrix)
    areas = [overlap(box, box)[0] * 64 for truths, _ in pairs for box, _, _ in truths]
    crowd = [crowd for truths, _ in pairs for _, _, crowd in truths]
    small = {row for row, area in enumerate(areas) if area < 1024 and not crowd[row]}
    assert (assessment.sizes[0].boxes, assessment.sizes[0].found) == (len(small), len(small & counted.found_rows))
    assert sum(size.boxes for size in assessment.sizes) == len(crowd) - sum(crowd)


@settings(max_examples=40, deadline=None)
@given(image_pairs, st.sampled_from([None, 0, 1, 2]))
def test_the_best_threshold_is_that_of_loops(pairs: Pairs, class_row: int | None) -> None:
    dataset, detections = columns(pairs)
    assessment = assess(dataset, detections)
    best = assessment.best if class_row is None else assessment.best_by_class[class_row]
    classes = range(CLASSES) if class_row is None else range(class_row, class_row + 1)
    f1 = {}
    for step in range(1, 21):
        counted = count_slowly(pairs, step / 20, classes)
        right = sum(counted.right)
        whole = 2 * right + sum(counted.wrong) + sum(counted.missed)
        f1[step / 20] = 2 * right / whole if whole else 0.0
    assert (best.f1 if best else 0.0) == pytest.approx(max(f1.values()))
    if best:
        counted = count_slowly(pairs, best.threshold, classes)
        assert (best.right, best.wrong, best.missed) == tuple(map(sum, (counted.right, counted.wrong, counted.missed)))


@settings(max_examples=40, deadline=None)
@given(image_pairs)
def test_the_confusion_matrix_and_the_sweep_tell_the_same(pairs: Pairs) -> None:
    assessment = assess(*columns(pairs))
    if assessment.best:
        matrix = assessment.confusion
        assert matrix[:-1, :-1].diagonal().sum() == assessment.best.right
        assert matrix[:, :-1].sum() == assessment.best.right + assessment.best.wrong
        assert matrix[:-1].sum() == assessment.sweep.boxes
    mistakes = confusions(assessment.confusion)
    assert sum(each.count for each in mistakes) == assessment.confusion.sum() - assessment.confusion.diagonal().sum()
    assert all(0 < each.share <= 1 for each in mistakes)
    assert [each.count for each in mistakes] == sorted((each.count for each in mistakes), reverse=True)


@settings(max_examples=40, deadline=None)
@given(image_pairs)
def test_curves_agree_with_ap(pairs: Pairs) -> None:
    assessment = assess(*columns(pairs))
    for name, precision in zip(assessment.classes, assessment.precision_at_recall, strict=True):
        expected = assessment.metrics.per_class[name]["AP50"]
        if expected is None:
            assert np.isnan(precision).all()
        else:
            assert precision.mean() == pytest.approx(expected)
            assert (np.diff(precision) <= 0).all()


A, B, C = (0, 0, 3, 3), (4, 4, 7, 7), (0, 4, 3, 7)


def names_of(assessment: Assessment) -> dict[tuple[int, int], int]:
    return {(each.truth, each.found): each.count for each in confusions(assessment.confusion)}


@pytest.mark.parametrize(
    ("truths", "found", "mistakes"),
    [
        ([(A, 0, False)], [(A, 0, 18)], {}),  # right
        ([(A, 0, False)], [(A, 1, 18)], {(0, 1): 1}),  # another class
        ([(A, 0, False)], [], {(0, CLASSES): 1}),  # missed
        ([(A, 0, False)], [(A, 0, 18), (B, 0, 18)], {(CLASSES, 0): 1}),  # one of nothing
        ([(A, 0, False)], [(A, 0, 18), (A, 0, 18)], {(CLASSES, 0): 1}),  # found twice
        ([(A, 0, False)], [(A, 1, 18), (A, 0, 18)], {(CLASSES, 1): 1}),  # its own class comes first
        ([(A, 0, False), (B, 1, True)], [(A, 0, 18), (B, 1, 18)], {}),  # crowds do not count
        ([(A, 0, False), (B, 1, True)], [(A, 0, 18), (B, 2, 18)], {(CLASSES, 2): 1}),  # but only for their class
    ],
)
def test_mistakes(truths: list[Any], found: list[Any], mistakes: dict[tuple[int, int], int]) -> None:
    assert names_of(assess(*columns([(truths, found)]))) == mistakes


@pytest.mark.parametrize(
    "pairs",
    [
        [([], [])],  # nothing at all
        [([(A, 0, False)], [])],  # nothing found
        [([], [(A, 0, 10)])],  # nothing to find
        [([(A, 0, True)], [(A, 0, 10)])],  # only crowds
    ],
)
def test_without_anything_right_there_is_no_best_threshold(pairs: Pairs) -> None:
    assessment = assess(*columns(pairs))
    assert assessment.best is None
    assert assessment.threshold == 0.5
    assert json.loads(json.dumps(assessment.to_dict()))["best_f1"]["all"] is None


def test_the_best_threshold_lies_in_the_middle_of_equal_ones() -> None:
    best = assess(*columns([([(A, 0, False)], [(A, 0, 18), (B, 0, 4)])])).best
    assert best is not None
    assert 0.2 < best.threshold < 0.9
    assert best.threshold == pytest.approx(0.55)
    assert best.f1 == 1.0


def test_a_threshold_is_compared_in_double_precision() -> None:
    dataset, detections = columns([([(A, 0, False)], [(A, 0, 14)])])  # 0.7 in single precision is less
    right = curves.sweep(assess(dataset, detections).matches, dataset).right
    assert [int(right[index]) for index in (698, 699)] == [1, 0]


def test_best_and_worst_images() -> None:
    images: Pairs = [
        ([(A, 0, False)], [(A, 0, 15)]),  # one of one
        ([(A, 0, False), (B, 0, False)], [(A, 0, 15), (B, 0, 15)]),  # two of two
        ([], []),  # nothing to find
        ([(A, 0, False)], []),  # missed
        ([(A, 0, False), (B, 0, False)], []),  # two missed
        ([(A, 0, False), (B, 0, False)], [(A, 0, 15)]),  # one of two
        ([(A, 0, False)], [(A, 0, 18)]),  # one of one, surer
    ]
    outcomes = assess(*columns(images)).images
    assert outcomes.f1.tolist() == pytest.approx([1, 1, 1, 0, 0, 2 / 3, 1])
    assert outcomes.worst(6) == [4, 3, 5]
    assert outcomes.best(2, []) == [1, 6]
    assert outcomes.best(6, outcomes.worst(6)) == [1, 6, 0]


def test_metrics_json_holds_what_was_assessed() -> None:
    images: Pairs = [([(A, 0, False), (B, 1, False)], [(A, 0, 15), (B, 2, 15)]), ([], [])]
    record = json.loads(json.dumps(assess(*columns(images)).to_dict()))
    assert record["images"] == 2
    assert record["best_f1"]["per_class"]["class 0"]["F1"] == 1.0
    assert record["best_f1"]["per_class"]["class 1"] is None
    assert record["best_f1"]["all"]["right"] == 1
    matrix = record["confusion_matrix"]
    assert matrix["labels"] == ["class 0", "class 1", "class 2", "background"]
    assert matrix["ground_truth_by_prediction"] == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert record["sizes"][0] == {"name": "small", "limits": "under 32 x 32 px", "boxes": 2, "found": 1} | {
        "ap": pytest.approx(0.5), "recall": pytest.approx(0.5)
    }  # fmt: skip


def test_every_image_has_to_be_there_once() -> None:
    dataset, detections = columns([([(A, 0, False)], [(A, 0, 15)]), ([], [])])
    short = ImageDetections(detections.boxes[:1], detections.classes[:1], detections.scores[:1])
    with pytest.raises(ValueError, match="expected detections of 2 images, found those of 1"):
        assess(dataset, short)
