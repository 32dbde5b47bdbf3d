"""Requests that TensorFlow Serving runs when it loads a model, so that no client waits for what happens only once."""

from __future__ import annotations

import os
import pathlib

import tensorflow as tf

FILE = pathlib.PurePosixPath("assets.extra/tf_serving_warmup_requests")
_SHAPE = (48, 64, 3)


def images() -> list[bytes]:
    """Two small files, one of each format that is decoded by a code of its own."""
    gray = tf.fill(_SHAPE, tf.constant(128, tf.uint8))
    return [tf.io.encode_jpeg(gray).numpy(), tf.io.encode_png(gray).numpy()]


def write(saved_model: str | os.PathLike[str]) -> None:
    """Writes one request for each image into a SavedModel folder.

    Only `serving_default` is asked: a signature that nobody uses then costs neither time nor memory.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    path = pathlib.Path(saved_model) / FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as records:
        for image in images():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = "serving_default"
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
            records.write(log.SerializeToString())
