"""A detector from pixels to boxes as one function that TensorFlow Lite and ONNX can both take over."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.modeling.layers import Execution
from tfod_transfer.targets import resizing, suppression
from tfod_transfer.targets.metadata import INPUT

#: What is in it, and nothing else, may be quantised to integers.
NETWORK_SCOPE = "network/"
OUTSIDE = ("preprocessing/", "postprocessing/")


def portable_function(detector: Detector, options: DetectionOptions) -> tf.types.experimental.GenericFunction:
    """One image, uint8 [1, H, W, 3] of any height and width, to what `suppression.detect` gives.

    The network computes in float32 with constant weights, whatever the artifact's SavedModel computes in.

    Args:
      detector: the detector.
      options: how detections are picked.
    """

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name=INPUT)], autograph=False)
    def detect(image: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.name_scope(OUTSIDE[0]):
            square, content = resizing.into_square(image, detector.spec)
        with tf.name_scope(NETWORK_SCOPE), detector.execution.changed_to(Execution(tf.float32, constant_weights=True)):
            output = detector(square, training=False)
        with tf.name_scope(OUTSIDE[1]):
            return suppression.detect(output, detector.anchors, detector.spec, content, options)

    return detect
