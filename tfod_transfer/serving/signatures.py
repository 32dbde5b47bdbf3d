"""The exported SavedModel: encoded images in, boxes in SageMaker's form out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfod_transfer.data import decode, resize
from tfod_transfer.modeling import postprocessing
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.modeling.layers import Execution


class ServingModule(tf.Module):
    """A detector with its preprocessing, post-processing and labels, as TF Serving runs it."""

    def __init__(self, detector: Detector, labels: Sequence[str], dtype: tf.DType = tf.float32) -> None:
        """Args: `detector`; its 1-based label list ("N/A" first); the type that its convolutions compute in."""
        super().__init__(name="serving")
        # Behind a function, Keras's own tracking of every layer stays out: a third of the time to save and to load.
        self._get_detector: Callable[[], Detector] = lambda: detector
        self._execution = Execution(dtype, constant_weights=True)
        self._labels = list(labels)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def detect_encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detects objects in encoded images (JPEG or PNG) of any size.

        Args:
          image_bytes: string [B].

        Returns:
          normalized_boxes [B, N, 4] (xmin, ymin, xmax, ymax) relative to the upright image, classes [B, N] (1-based,
          float), scores [B, N] (highest first, 0 at padding) and labels [B, K + 1] (the whole list:
          `labels[b][int(class)]`).
        """
        detector = self._get_detector()
        size = detector.spec.input_size
        signature = (tf.TensorSpec([size, size, 3], tf.float32), tf.TensorSpec([4], tf.float32))
        images, windows = tf.map_fn(self._prepare, image_bytes, fn_output_signature=signature)
        # Constants may be laid out for the processor when the model is loaded: a fifth less time than with variables.
        with detector.execution.changed_to(self._execution):
            outputs = detector(images, training=False)
        detections = postprocessing.detect(outputs, detector.anchors, detector.spec, windows=windows)
        labels = tf.constant(self._labels)[tf.newaxis]
        return {
            "normalized_boxes": tf.gather(detections.boxes, [1, 0, 3, 2], axis=-1),
            "classes": tf.cast(detections.classes, tf.float32) + 1.0,
            "scores": detections.scores,
            "labels": tf.repeat(labels, tf.shape(image_bytes)[0], axis=0),
        }

    def _prepare(self, contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The detector's input [S, S, 3], and the part [4] of it that is image."""
        spec = self._get_detector().spec
        image = decode.orient(decode.decode_image(contents), decode.exif_orientation(contents))
        return resize.resize(image, spec), resize.windows(tf.shape(image)[:2], spec)


def save(module: ServingModule, folder: str | os.PathLike[str]) -> None:
    """Writes the SavedModel with the signature `serving_default`."""
    tf.saved_model.save(module, os.fspath(folder), signatures={"serving_default": module.detect_encoded})
