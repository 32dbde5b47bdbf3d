"""From an upright RGB image to the network's input, in training, evaluation and export alike."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer.data.resize import resize as resize

# architecture -> (scale, offset) of each channel: network input = scale * raw + offset.
_NORMALIZATION = {"ssd_mobilenet_v2_fpnlite": (2.0 / 255.0, -1.0)}


def normalize(images: tf.Tensor, architecture: str) -> tf.Tensor:
    """Raw RGB [..., 3] in 0..255, any number type -> float32 [..., 3] as the backbone was trained with."""
    scale, offset = _NORMALIZATION[architecture]
    return tf.cast(images, tf.float32) * scale + offset
