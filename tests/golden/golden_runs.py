"""A detector with a reference's weights, and what the tests that compare it share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from golden_reference import Reference, Tolerances

from tfod_transfer import registry
from tfod_transfer.data import resize
from tfod_transfer.modeling import preprocessing, zoo_checkpoint
from tfod_transfer.modeling.detector import Detector, DetectorOutput, build_detector

STANDARD_MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as fractions of 255


def restored(reference: Reference, prefix: str, **options: Any) -> Detector:
    detector = build_detector(reference.spec, reference.spec.num_classes, **options)
    names = reference.class_names
    report = zoo_checkpoint.restore(detector, prefix, checkpoint_class_names=names, class_names=names)
    assert not report.reinitialized
    unused = detector.backbone.unused_checkpoint_keys
    assert all(unused and key.startswith(unused) for key in report.unused)
    return detector


def normalized_first(images: np.ndarray, spec: registry.ModelSpec) -> tf.Tensor:
    """The reference's own order. Ours is equal in exact arithmetic; a rounding there grows in the network."""
    size = resize.content_size(tf.constant(images.shape[1:3]), spec)
    normalized = preprocessing.normalize(images, spec.structure.normalization)
    if spec.structure.normalization == "standardized":
        # One rounded factor for two divisions would shift every pixel alike, which batch statistics do not forgive.
        normalized = (images / np.float32(255) - np.float32(STANDARD_MEAN)) / np.float32(STANDARD_DEVIATION)
    x = tf.raw_ops.ResizeBilinear(images=normalized, size=size)
    return tf.image.pad_to_bounding_box(x, 0, 0, spec.input_size, spec.input_size)


def assert_close(actual: Any, expected: np.ndarray, tolerance: float, what: str) -> None:
    difference = np.abs(np.asarray(actual) - expected).max()
    assert difference <= tolerance, f"{what}: largest difference {difference}"


class Run(NamedTuple):
    """What became of the reference's image, and how near to the reference it must be."""

    backbone: list[tf.Tensor]
    features: list[tf.Tensor]
    output: DetectorOutput
    tolerances: Tolerances


def unused_penalties(reference: Reference, detector: Detector) -> dict[str, float]:
    """What the reference adds to its loss for kernels and biases that no output depends on, by checkpoint key."""
    unused = detector.backbone.unused_checkpoint_keys
    if unused is None:
        return {}
    return {
        key: reference.spec.structure.backbone_l2 * float(np.sum(np.square(value, dtype=np.float64)))
        for key, value in reference.weights().items()
        if key.startswith(unused) and key.split("/")[-3] in ("kernel", "bias")
    }
