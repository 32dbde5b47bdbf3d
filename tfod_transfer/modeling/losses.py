"""What a detector gets wrong: classes, boxes, and weights that are too large; in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfod_transfer.modeling.detector import Detector, DetectorOutput
from tfod_transfer.modeling.matcher import Targets
from tfod_transfer.registry import ModelSpec, Structure

_HUBER_DELTA = 1.0
_NEGATIVES = 3  # for each positive, where the hard ones are picked


class DetectionLosses(NamedTuple):
    """Sums over the anchors of each image, not yet divided: see `normalized`.

    Attributes:
      classification: float32 [B].
      localization: float32 [B].
      positives: float32 [B], the number of anchors that have something to find.
    """

    classification: tf.Tensor
    localization: tf.Tensor
    positives: tf.Tensor


def detection_losses(output: DetectorOutput, targets: Targets, spec: ModelSpec) -> DetectionLosses:
    """Loss of the classes over all anchors that count, and Huber loss over the positive ones, for each image.

    With independent classes ("sigmoid") that is the focal loss over all anchors, as in the Object Detection API's
    ssd_meta_arch.py; else cross-entropy over the positives and the hardest negatives, see `hard_negative_loss`.

    Args:
      output: box_encodings [B, A, 4], class_logits [B, A, slots].
      targets: see matcher.assign.
      spec: of the detector.
    """
    structure = spec.structure
    weights = tf.cast(targets.matches >= 0, tf.float32)
    if structure.classification == "softmax":
        classification = hard_negative_loss(output.class_logits, targets.classes)
    else:
        classification = _focal_loss(output.class_logits, targets.classes, structure)
    huber = tf.reduce_mean(_huber(output.box_encodings - targets.box_encodings), axis=-1)
    return DetectionLosses(
        classification=classification,
        localization=tf.reduce_sum(huber * weights, axis=1),
        positives=tf.reduce_sum(weights, axis=1),
    )


def hard_negative_loss(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """A quarter of the cross-entropy of the positives and of three times as many negatives, those it is highest for.

    MXNet's example/ssd divides by the anchors that count (`normalization` valid), which are four for each positive;
    `normalized` divides by the positives. An image without positives teaches nothing, as there.

    Args:
      logits: float32 [B, A, slots], slot 0 is background.
      classes: int32 [B, A]; -1 for an anchor with nothing to find.

    Returns:
      float32 [B].
    """
    positive = classes >= 0
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes + 1, logits)
    positives = tf.where(positive, cross_entropy, 0.0)
    # The negatives that look least like background are those of the highest loss.
    hardest, _ = tf.math.top_k(tf.where(positive, 0.0, cross_entropy), logits.shape[1])
    wanted = _NEGATIVES * tf.reduce_sum(tf.cast(positive, tf.int32), axis=1)
    counted = tf.sequence_mask(wanted, logits.shape[1])
    total = tf.reduce_sum(positives, axis=1) + tf.reduce_sum(tf.where(counted, hardest, 0.0), axis=1)
    return total / (1.0 + _NEGATIVES)


def _focal_loss(logits: tf.Tensor, classes: tf.Tensor, structure: Structure) -> tf.Tensor:
    # one_hot(-1) is all zeros: an anchor with nothing to find is a negative of every slot, background included.
    slots = tf.where(classes >= 0, classes + int(structure.background_slot), -1)
    labels = tf.one_hot(slots, logits.shape[-1])
    return tf.reduce_sum(sigmoid_focal(logits, labels, structure.focal_alpha, structure.focal_gamma), axis=[1, 2])


def normalized(losses: DetectionLosses, positives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The scalars (classification, localization) of a batch: sums divided by its number of positives, at least 1."""
    count = tf.maximum(positives, 1.0)
    return tf.reduce_sum(losses.classification) / count, tf.reduce_sum(losses.localization) / count


def regularization_loss(detector: Detector, coefficient: float | None = None) -> tf.Tensor:
    """Sum over the regularised kernels of coefficient times squared L2 norm.

    A `coefficient` takes the place of the model's own ones.
    """
    variables = detector.checkpoint_variables()
    terms = [
        (own if coefficient is None else coefficient) * 2.0 * tf.nn.l2_loss(variables[key])
        for key, own in detector.l2_coefficients().items()
    ]
    return tf.add_n(terms)


def sigmoid_focal(logits: tf.Tensor, labels: tf.Tensor, alpha: float, gamma: float) -> tf.Tensor:
    """Focal loss (https://arxiv.org/abs/1708.02002) of each logit, float32 of the same shape; labels are 0 or 1."""
    return _sigmoid_focal(alpha, gamma)(logits, labels)


def _sigmoid_focal(alpha: float, gamma: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    # Value and derivative share their logarithm and powers: half the time of automatic differentiation.
    @tf.custom_gradient
    def focal(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
        sign = 1.0 - 2.0 * labels
        # With z = x for negatives and -x for positives, the loss is weight * sigmoid(z)^gamma * softplus(z).
        z = sign * logits
        miss = tf.sigmoid(z)
        cross_entropy = tf.nn.softplus(z)
        weight = (1.0 - alpha) + (2.0 * alpha - 1.0) * labels
        power = weight * (tf.square(miss) if gamma == 2.0 else tf.pow(miss, gamma))
        # Here and not in `gradient`, so that one tensor waits for the backward pass instead of four.
        derivative = sign * power * (gamma * (1.0 - miss) * cross_entropy + miss)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
            return upstream * derivative, None

        return power * cross_entropy, gradient

    return focal


def _huber(errors: tf.Tensor) -> tf.Tensor:
    absolute = tf.abs(errors)
    quadratic = tf.minimum(absolute, _HUBER_DELTA)
    return quadratic * (absolute - 0.5 * quadratic)
