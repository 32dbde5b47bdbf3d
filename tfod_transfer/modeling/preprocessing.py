"""From raw RGB to the network's input, in training, evaluation and export alike; `data.resize` came before."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer.data.normalization import NORMALIZATIONS


def normalize(images: tf.Tensor, normalization: str) -> tf.Tensor:
    """Raw RGB [..., 3] in 0..255, any number type -> float32 [..., 3] as the backbone was trained with.

    Args:
      images: the images.
      normalization: a key of `data.normalization.NORMALIZATIONS`.
    """
    scale, offset = NORMALIZATIONS[normalization]
    return tf.cast(images, tf.float32) * tf.constant(scale) + tf.constant(offset)
