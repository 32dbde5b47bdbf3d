"""The non-max suppression of targets against that of training, evaluation and SavedModel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small_backbone import thin_spec

from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.modeling import postprocessing
from tfod_transfer.modeling.detector import DetectorOutput
from tfod_transfer.registry import ModelSpec
from tfod_transfer.targets import suppression

SPEC = thin_spec()


def made_anchors(count: int = 600) -> np.ndarray:
    """Boxes of many sizes, some of them outside of the image."""
    rng = np.random.default_rng(0)
    middles, halves = rng.uniform(-0.2, 1.2, (count, 2)), rng.uniform(0.02, 0.4, (count, 2))
    return np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)


ANCHORS = made_anchors()


def made_output(num_classes: int) -> DetectorOutput:
    """Random encodings and logits."""
    rng = np.random.default_rng(num_classes)
    encodings = rng.normal(0, 1, (1, len(ANCHORS), 4)).astype(np.float32)
    logits = rng.normal(-2, 2, (1, len(ANCHORS), num_classes + 1)).astype(np.float32)
    return DetectorOutput(tf.constant(encodings), tf.constant(logits))


SOFTMAX = thin_spec(classification="softmax", nms_topk=200)


@pytest.mark.parametrize(
    ("num_classes", "content", "options"),
    [
        pytest.param(3, (1.0, 1.0), DetectionOptions(), id="the zoo's own"),
        pytest.param(1, (1.0, 1.0), DetectionOptions(), id="one class"),
        pytest.param(90, (1.0, 1.0), DetectionOptions(), id="as many classes as COCO"),
        pytest.param(3, (0.75, 1.0), DetectionOptions(), id="padding at the bottom"),
        pytest.param(3, (1.0, 0.4), DetectionOptions(max_detections=7), id="padding at the right, few boxes"),
        pytest.param(5, (1.0, 1.0), DetectionOptions(class_agnostic_nms=True), id="rivals of any class"),
        pytest.param(3, (1.0, 1.0), DetectionOptions(nms_iou=0.1, score_threshold=0.6), id="thresholds"),
        pytest.param(4, (1.0, 1.0), DetectionOptions(nms_topk=50), id="few that compete where that is limited"),
        pytest.param(3, (1.0, 1.0), DetectionOptions(score_threshold=0.9999), id="next to nothing"),
    ],
)
@pytest.mark.parametrize("spec", [SPEC, SOFTMAX], ids=["sigmoid", "softmax"])
def test_it_finds_what_the_savedmodel_finds(
    num_classes: int, content: tuple[float, float], options: DetectionOptions, spec: ModelSpec
) -> None:
    output = made_output(num_classes)
    windows = tf.constant([[0.0, 0.0, *content]])
    expected = postprocessing.detect(output, ANCHORS, spec, windows=windows, **options.to_dict())
    found = suppression.detect(output, ANCHORS, spec, tf.constant(content), options)
    np.testing.assert_allclose(found["num_detections"], expected.num_detections)
    np.testing.assert_allclose(found["detection_scores"], expected.scores, atol=1e-6)
    np.testing.assert_allclose(found["detection_boxes"], expected.boxes, atol=1e-5)
    np.testing.assert_array_equal(found["detection_classes"], expected.classes.numpy() + 1)


def test_small_boxes_of_many_classes_stay_apart() -> None:
    """Boxes of a thousandth of the image, equal in all classes: none is another's rival, and none is lost."""
    num_classes = 200
    cell = np.array([[0.4995, 0.4995, 0.5005, 0.5005]], np.float32)
    logits = np.linspace(0, 4, num_classes + 1, dtype=np.float32)[np.newaxis, np.newaxis]
    spec = dataclasses.replace(SPEC, structure=dataclasses.replace(SPEC.structure, nms_iou=0.5))
    output = DetectorOutput(tf.zeros([1, 1, 4]), tf.constant(logits))
    options = DetectionOptions(max_detections=num_classes)
    found = suppression.detect(output, cell, spec, tf.ones([2]), options)
    assert found["num_detections"].numpy() == [num_classes]
    assert sorted(found["detection_classes"][0].numpy()) == list(range(1, num_classes + 1))
    np.testing.assert_allclose(found["detection_boxes"][0, 77], cell[0], atol=1e-6)
