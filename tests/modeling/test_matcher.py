from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer.modeling import anchors, box_coder, matcher

LEFT, RIGHT, WIDE = [0.0, 0.0, 0.4, 0.4], [0.0, 0.6, 0.4, 1.0], [0.0, 0.0, 0.4, 0.8]
ANCHORS = np.array([LEFT, RIGHT, WIDE], np.float32)


@pytest.mark.parametrize(
    ("boxes", "classes", "matches"),
    [
        pytest.param([LEFT], [7], [0, -1, 0], id="overlaps of 1 and of exactly a half"),
        pytest.param([RIGHT], [7], [-1, 0, -1], id="an overlap below a half is a negative"),
        pytest.param([[0.3, 0.7, 0.4, 0.8]], [7], [-1, 0, -1], id="a small box gets its best anchor all the same"),
        pytest.param([LEFT, RIGHT], [7, 7], [0, 1, 0], id="each to its own"),
        pytest.param([WIDE, LEFT], [7, 7], [1, -1, 0], id="an anchor takes the box that it overlaps most"),
        pytest.param([LEFT, LEFT], [7, 3], [0, -1, 0], id="of two equal boxes the first"),
        pytest.param([LEFT, [0.1, 0.1, 0.2, 0.2]], [7, 3], [0, -1, 0], id="of two that want an anchor the first"),
        pytest.param([[0.1, 0.1, 0.2, 0.2], LEFT], [3, 7], [0, -1, 1], id="even if the second overlaps it more"),
        pytest.param([LEFT, RIGHT], [-1, 7], [-1, 1, -1], id="padding before a box"),
        pytest.param([LEFT, [0.0, 0.0, 0.0, 0.0]], [7, -1], [0, -1, 0], id="padding after a box"),
        pytest.param([LEFT, RIGHT], [-1, -1], [-1, -1, -1], id="no box at all"),
    ],
)
def test_matches(tiny_spec: Any, boxes: list[list[float]], classes: list[int], matches: list[int]) -> None:
    # Beside another image, which must not interfere.
    truth = np.array([boxes, np.zeros_like(boxes)], np.float32)
    labels = np.array([classes, np.full_like(classes, -1)], np.int32)
    targets = matcher.assign(truth, labels, ANCHORS, tiny_spec)
    assert targets.matches.numpy().tolist() == [matches, [-1, -1, -1]]
    assert targets.classes.numpy()[0].tolist() == [classes[match] if match >= 0 else -1 for match in matches]
    expected = box_coder.encode(truth[0][matches], ANCHORS, tiny_spec.structure.box_coder_scales).numpy()
    expected[np.array(matches) < 0] = 0
    np.testing.assert_array_equal(targets.box_encodings.numpy()[0], expected)
    assert not targets.box_encodings.numpy()[1].any()


def slow_matches(boxes: np.ndarray, classes: np.ndarray, anchor_boxes: np.ndarray) -> list[int]:
    """One image, one pair at a time."""

    def overlap(a: np.ndarray, b: np.ndarray) -> np.float32:
        height = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]))
        width = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]))
        both = height * width
        return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

    matches = []
    rows = [row for row in range(len(boxes)) if classes[row] >= 0]
    table = np.array([[overlap(boxes[row], anchor) for anchor in anchor_boxes] for row in rows])
    for column in range(len(anchor_boxes)):
        best = int(np.argmax(table[:, column])) if rows else 0
        matches.append(rows[best] if rows and table[best, column] >= 0.5 else -1)
    for number in reversed(range(len(rows))):
        matches[int(np.argmax(table[number]))] = rows[number]
    return matches


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_agrees_with_one_pair_at_a_time(tiny_spec: Any, seed: int, num_boxes: int) -> None:
    rng = np.random.default_rng(seed)
    anchor_boxes = anchors.generate(tiny_spec)[::7]
    corner = rng.uniform(0, 0.7, (2, num_boxes, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.02, 0.5, corner.shape)], axis=-1).astype(np.float32)
    classes = rng.integers(-1, 3, (2, num_boxes)).astype(np.int32)
    matches = matcher.assign(boxes, classes, anchor_boxes, tiny_spec).matches.numpy()
    assert matches.tolist() == [slow_matches(boxes[i], classes[i], anchor_boxes) for i in range(2)]


def test_traces_once_for_any_number_of_real_boxes(tiny_spec: Any) -> None:
    anchor_boxes = anchors.generate(tiny_spec)
    assign = tf.function(lambda boxes, classes: matcher.assign(boxes, classes, anchor_boxes, tiny_spec))
    boxes = tf.constant(np.tile(np.array([0.1, 0.1, 0.5, 0.5], np.float32), (2, 4, 1)))
    for real in range(5):
        classes = tf.constant(np.where(np.arange(4) < real, 1, -1)[np.newaxis].repeat(2, 0), tf.int32)
        targets = assign(boxes, classes)
        assert bool(tf.reduce_any(targets.classes >= 0)) == (real > 0)
    assert assign.experimental_get_tracing_count() == 1
    assert targets.classes.shape == (2, len(anchor_boxes))
