"""One training step of the models that have a reference of it, against the Object Detection API's."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden_reference import TOLERANCES, Reference
from golden_runs import assert_close, normalized_first, restored, unused_penalties

from tfod_transfer import registry
from tfod_transfer.modeling import losses, matcher
from tfod_transfer.modeling.detector import Detector, DetectorOutput

pytestmark = pytest.mark.golden

TRAINED = [
    spec
    for spec in registry.load_registry()
    if spec.checkpoint.name in TOLERANCES and TOLERANCES[spec.checkpoint.name].training is not None
]


@pytest.fixture(scope="module", params=TRAINED, ids=lambda spec: spec.checkpoint.name)
def trained_reference(request: pytest.FixtureRequest, shared: Any) -> Reference:
    return Reference(request.param, shared)


@pytest.fixture(scope="module")
def trainable_detector(trained_reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    prefix = trained_reference.write_checkpoint(pathlib.Path(tmp_path_factory.mktemp("golden")))
    return restored(trained_reference, prefix, freeze_batch_norm=False)


def test_l2_coefficient_of_each_variable(trained_reference: Reference, trainable_detector: Detector) -> None:
    expected = trained_reference.training[1]["keras_l2_coefficient"]
    unused = unused_penalties(trained_reference, trainable_detector)
    assert unused.keys() <= expected.keys()
    used = {key: coefficient for key, coefficient in expected.items() if key not in unused}
    assert trainable_detector.l2_coefficients() == pytest.approx(used, rel=1e-6)


def test_one_training_step_with_batch_statistics(trained_reference: Reference, trainable_detector: Detector) -> None:
    reference, detector = trained_reference, trainable_detector
    golden, expected = reference.training
    named = detector.checkpoint_variables()
    trainable = {key: variable for key, variable in named.items() if variable.trainable}
    images = normalized_first(reference.training_images, reference.spec)
    boxes, classes = np.zeros([2, 4, 4], np.float32), np.full([2, 4], -1, np.int32)
    for row, truth in enumerate((golden["gt0"], golden["gt1"])):
        boxes[row, : len(truth)], classes[row, : len(truth)] = truth, reference.ground_truth[1][: len(truth)]

    with tf.GradientTape() as tape:
        features = detector.decoder(detector.backbone(images, training=True), training=True)
        output = DetectorOutput(*detector.head(features, training=True))
        targets = matcher.assign(boxes, classes, detector.anchors, reference.spec)
        sums = losses.detection_losses(output, targets, reference.spec)
        classification, localization = losses.normalized(sums, tf.reduce_sum(sums.positives))
        total = classification + localization + losses.regularization_loss(detector)
    gradients = dict(zip(trainable, tape.gradient(total, list(trainable.values())), strict=True))

    tolerances, unused = reference.tolerances.training, unused_penalties(reference, detector)
    assert tolerances is not None
    assert float(classification) == pytest.approx(expected["classification_loss"], rel=tolerances.losses)
    assert float(localization) == pytest.approx(expected["localization_loss"], rel=tolerances.losses)
    assert float(total) + sum(unused.values()) == pytest.approx(expected["total_loss"], rel=tolerances.losses)
    norms = {key: float(tf.norm(gradient)) for key, gradient in gradients.items()}
    expected_norms = {key: norm for key, norm in expected["grad_l2_norms"].items() if key not in unused}
    # Before another batch norm an offset has no effect: its gradient is pure rounding, hence the absolute part.
    assert norms == pytest.approx(expected_norms, rel=tolerances.norms, abs=tolerances.norms)
    assert_close(output.box_encodings, golden["box_encodings"], tolerances.raw, "box encodings")
    (name,) = (name for name in golden if name.startswith("class_predictions_rows_every_"))
    assert_close(output.class_logits[:, :: int(name.rsplit("_", 1)[1])], golden[name], tolerances.raw, "class logits")
    without_use = detector.backbone.unused_checkpoint_keys or "none"
    for kind, tensors, tolerance in (("grad:", gradients, tolerances.gradients), ("after:", named, 1e-5)):
        keys = [name.removeprefix(kind) for name in golden if name.startswith(kind)]
        assert keys
        for key in keys:
            if key in named or not key.startswith(without_use):
                value = golden[kind + key]
                assert_close(tensors[key], value, tolerance * np.abs(value).max(), kind + key)
