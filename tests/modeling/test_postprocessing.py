from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer.modeling import anchors, box_coder, postprocessing
from tfod_transfer.modeling.detector import DetectorOutput


def slow_detect(
    boxes: np.ndarray, scores: np.ndarray, window: np.ndarray, iou: float, threshold: float, any_class: bool = False
) -> list[tuple[float, int, np.ndarray, int]]:
    """Rows (score, class, box, anchor) of one image; boxes [A, 4], scores [A, K]."""

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        both = np.prod(np.maximum(sides, 0))
        return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)

    every_class = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    rivals = [(scores.max(axis=1), scores.argmax(axis=1))] if any_class else zip(scores.T, every_class.T, strict=True)
    rows = []
    for of_rivals, labels in rivals:
        kept: list[int] = []
        for i in np.argsort(-of_rivals, kind="stable"):
            if len(kept) < 100 and of_rivals[i] > threshold and all(overlap(boxes[i], boxes[j]) <= iou for j in kept):
                kept.append(int(i))
        rows += [(of_rivals[i], int(labels[i]), boxes[i], i) for i in kept]
    rows.sort(key=lambda row: -row[0])
    low, high = np.tile(window[:2], 2), np.tile(window[2:], 2)
    rows = [(score, label, (np.clip(box, low, high) - low) / (high - low), i) for score, label, box, i in rows]
    return [row for row in rows if np.all(row[2][2:] > row[2][:2])]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    background_slot=st.booleans(),
    windows=st.sampled_from([None, [[0, 0, 1, 0.6], [0, 0, 0.4, 1]]]),
    max_detections=st.sampled_from([5, 20]),
    score_threshold=st.sampled_from([1e-8, 0.5]),
    nms_iou=st.sampled_from([None, 0.3]),
    class_agnostic_nms=st.booleans(),
    with_anchors=st.booleans(),
    candidates_per_detection=st.sampled_from([1, 2, 10]),
)
def test_agrees_with_one_box_at_a_time(
    make_spec: Any,
    seed: int,
    background_slot: bool,
    windows: list[list[float]] | None,
    max_detections: int,
    score_threshold: float,
    nms_iou: float | None,
    class_agnostic_nms: bool,
    with_anchors: bool,
    candidates_per_detection: int,
) -> None:
    rng = np.random.default_rng(seed)
    spec = make_spec(input_size=64, background_slot=background_slot)
    anchor_boxes = anchors.generate(spec)[::17]
    encodings = rng.normal(0, 3, (2, len(anchor_boxes), 4)).astype(np.float32)
    logits = rng.normal(0, 2, (2, len(anchor_boxes), 3 + background_slot)).astype(np.float32)
    with mock.patch.object(postprocessing, "_CANDIDATES_PER_DETECTION", candidates_per_detection):
        detections = postprocessing.detect(
            DetectorOutput(tf.constant(encodings), tf.constant(logits)),
            anchor_boxes,
            spec,
            windows=None if windows is None else tf.constant(windows, tf.float32),
            max_detections=max_detections,
            score_threshold=score_threshold,
            nms_iou=nms_iou,
            class_agnostic_nms=class_agnostic_nms,
            with_anchors=with_anchors,
        )
    decoded = box_coder.decode(encodings, anchor_boxes, spec.structure.box_coder_scales).numpy()
    scores = tf.sigmoid(logits).numpy()[..., int(background_slot) :]
    for image in range(2):
        window = np.array([0, 0, 1, 1] if windows is None else windows[image], np.float32)
        iou = spec.structure.nms_iou if nms_iou is None else nms_iou
        expected = slow_detect(decoded[image], scores[image], window, iou, score_threshold, class_agnostic_nms)
        expected = expected[:max_detections]
        boxes, classes, found_scores, count = (x.numpy()[image] for x in detections[:4])
        assert count == len(expected)
        np.testing.assert_allclose(found_scores[:count], [score for score, *_ in expected], rtol=1e-6)
        assert classes[:count].tolist() == [label for _, label, *_ in expected]
        np.testing.assert_allclose(boxes[:count], np.reshape([box for _, _, box, _ in expected], (-1, 4)), atol=1e-6)
        assert not boxes[count:].any()
        assert not found_scores[count:].any()
        assert not classes[count:].any()
        assert boxes.shape == (max_detections, 4)
        if with_anchors:
            anchors_found = detections.anchors.numpy()[image]
            assert anchors_found[:count].tolist() == [anchor for *_, anchor in expected]
            assert not anchors_found[count:].any()


INSIDE, BESIDE = [0.2, 0.2, 0.4, 0.4], [0.2, 1.1, 0.4, 1.3]


def test_boxes_outside_the_image_make_room_for_others(make_spec: Any) -> None:
    spec = make_spec()
    output = DetectorOutput(tf.zeros([1, 2, 4]), tf.constant([[[0.0, -1.0], [0.0, 3.0]]]))
    detections = postprocessing.detect(output, np.array([INSIDE, BESIDE], np.float32), spec, max_detections=1)
    assert int(detections.num_detections[0]) == 1
    np.testing.assert_allclose(detections.boxes[0, 0], INSIDE, atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_is_computed_in_float32(make_spec: Any, dtype: tf.DType) -> None:
    output = DetectorOutput(tf.zeros([1, 1, 4], dtype), tf.zeros([1, 1, 2], dtype))
    detections = postprocessing.detect(output, np.array([INSIDE], np.float32), make_spec())
    assert detections.boxes.dtype == detections.scores.dtype == tf.float32
    assert detections.classes.dtype == detections.num_detections.dtype == tf.int32
    assert float(detections.scores[0, 0]) == 0.5
