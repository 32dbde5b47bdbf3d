from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfod_transfer.modeling import losses
from tfod_transfer.modeling.detector import DetectorOutput, build_detector
from tfod_transfer.modeling.matcher import Targets


def make_targets(classes: list[list[int]]) -> Targets:
    shape = np.shape(classes)
    return Targets(
        classes=tf.constant(classes, tf.int32),
        box_encodings=tf.zeros([*shape, 4]),
        matches=tf.where(tf.constant(classes) >= 0, 0, -1),
    )


def plain_focal(logits: tf.Tensor, labels: tf.Tensor, alpha: float, gamma: float) -> tf.Tensor:
    """The paper's formula, term by term."""
    p = tf.sigmoid(logits)
    p_t, alpha_t = tf.where(labels == 1, p, 1 - p), tf.where(labels == 1, alpha, 1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * tf.math.log(p_t)


@pytest.mark.parametrize("gamma", [2.0, 1.5])
def test_focal_loss_and_its_gradient(gamma: float) -> None:
    rng = np.random.default_rng(0)
    labels = tf.constant(rng.integers(0, 2, (4, 50, 3)), tf.float32)
    logits = tf.Variable(rng.normal(0, 3, (4, 50, 3)), dtype=tf.float32)
    weights = tf.constant(rng.uniform(0, 1, (4, 50, 3)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        ours = losses.sigmoid_focal(logits, labels, 0.25, gamma)
        weighted = tf.reduce_sum(weights * ours)
        plain = plain_focal(logits, labels, 0.25, gamma)
        weighted_plain = tf.reduce_sum(weights * plain)
    np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(weighted, logits), tape.gradient(weighted_plain, logits), rtol=1e-4, atol=1e-6
    )


def test_focal_loss_is_finite_far_out() -> None:
    logits = tf.Variable([-1e4, 1e4, -1e4, 1e4])
    with tf.GradientTape() as tape:
        loss = losses.sigmoid_focal(logits, tf.constant([0.0, 1.0, 1.0, 0.0]), 0.25, 2.0)
    np.testing.assert_allclose(loss, [0, 0, 2500, 7500])
    np.testing.assert_allclose(tape.gradient(loss, logits), [0, 0, -0.25, 0.75])


def test_localization_is_hubers_loss_on_positive_anchors(tiny_spec: Any) -> None:
    encodings = tf.constant(np.random.default_rng(0).normal(0, 2, (2, 3, 4)), tf.float32)
    output = DetectorOutput(encodings, tf.zeros([2, 3, 3]))
    sums = losses.detection_losses(output, make_targets([[1, -1, 0], [-1, -1, 1]]), tiny_spec)
    huber = tf_keras.losses.Huber(1.0, reduction="none")(tf.zeros_like(encodings), encodings).numpy()
    np.testing.assert_allclose(sums.localization, [huber[0, 0] + huber[0, 2], huber[1, 2]], rtol=1e-6)
    np.testing.assert_array_equal(sums.positives, [2, 1])


@pytest.mark.parametrize(
    ("background_slot", "labels"),
    [
        pytest.param(True, [[0, 0, 1], [0, 0, 0], [0, 1, 0]], id="slot 0 is background and always a negative"),
        pytest.param(False, [[0, 1, 0], [0, 0, 0], [1, 0, 0]], id="no background slot"),
    ],
)
def test_slot_of_a_class(make_spec: Any, background_slot: bool, labels: list[list[int]]) -> None:
    logits = tf.constant(np.random.default_rng(0).normal(0, 2, (1, 3, 3)), tf.float32)
    spec = make_spec(background_slot=background_slot)
    sums = losses.detection_losses(DetectorOutput(tf.zeros([1, 3, 4]), logits), make_targets([[1, -1, 0]]), spec)
    expected = tf.reduce_sum(plain_focal(logits, tf.constant([labels], tf.float32), 0.25, 2.0))
    assert float(sums.classification[0]) == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_without_objects_still_teaches_negatives(tiny_spec: Any) -> None:
    logits = tf.Variable(tf.zeros([2, 3, 3]))
    with tf.GradientTape() as tape:
        output = DetectorOutput(tf.ones([2, 3, 4]), logits)
        sums = losses.detection_losses(output, make_targets([[-1, -1, -1]] * 2), tiny_spec)
        classification, localization = losses.normalized(sums, tf.reduce_sum(sums.positives))
    assert float(classification) == pytest.approx(18 * 0.75 * 0.25 * np.log(2), rel=1e-5)
    assert float(localization) == 0
    assert np.all(tape.gradient(classification, logits).numpy() > 0)


def test_regularization_is_coefficient_times_squares(tiny_spec: Any) -> None:
    detector = build_detector(tiny_spec, 2)
    variables = detector.checkpoint_variables()
    expected = sum(c * np.sum(np.square(variables[key].numpy())) for key, c in detector.l2_coefficients().items())
    assert set(detector.l2_coefficients().values()) == {2e-5}
    assert float(losses.regularization_loss(detector)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.regularization_loss(detector, 4e-5)) == pytest.approx(2 * expected, rel=1e-5)
    assert float(losses.regularization_loss(detector, 0.0)) == 0
