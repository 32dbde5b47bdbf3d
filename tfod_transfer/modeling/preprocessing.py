"""From raw RGB to the network's input, in training, evaluation and export alike; `data.resize` came before."""

from __future__ import annotations

import tensorflow as tf

# name -> (scale, offset) of the channels: network input = scale * raw + offset.
NORMALIZATIONS: dict[str, tuple[list[float], list[float]]] = {
    "symmetric": ([2.0 / 255.0] * 3, [-1.0] * 3),
    "mean_subtracted": ([1.0] * 3, [-123.68, -116.779, -103.939]),
    "standardized": (
        [1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)],
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    ),
}


def normalize(images: tf.Tensor, normalization: str) -> tf.Tensor:
    """Raw RGB [..., 3] in 0..255, any number type -> float32 [..., 3] as the backbone was trained with.

    Args:
      images: the images.
      normalization: a key of NORMALIZATIONS.
    """
    scale, offset = NORMALIZATIONS[normalization]
    return tf.cast(images, tf.float32) * tf.constant(scale) + tf.constant(offset)
