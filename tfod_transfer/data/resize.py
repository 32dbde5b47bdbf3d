"""The one resize of images to a model's input, for training, evaluation and export alike."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.registry import ModelSpec


def resize(image: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Resizes raw RGB, uint8 or float32 [H, W, 3], to the model's float32 [S, S, 3], still 0..255.

    Raises:
      RegistryError: the model's resizer is not built yet.
    """
    if spec.resizer != "fixed":
        raise errors.RegistryError(f"{spec.model_id}: resizer {spec.resizer!r} is not built yet; built: 'fixed'")
    return stretch(image, spec.input_size)


def stretch(image: tf.Tensor, size: int) -> tf.Tensor:
    """Stretches an image to a square with TensorFlow 1's bilinear kernel, as the zoo does.

    Output pixel i shows the input at i * (input side / size): no half-pixel centres, no aligned corners, no
    antialiasing. The zoo normalises before it resizes; normalising is affine, so that it may as well follow.

    Args:
      image: uint8 or float32 [H, W, 3].
      size: side of the square in pixels.

    Returns:
      float32 [size, size, 3], in the range of the input.
    """
    square = tf.raw_ops.ResizeBilinear(
        images=image[tf.newaxis], size=[size, size], align_corners=False, half_pixel_centers=False
    )
    return square[0]


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds float32 in 0..255 to the nearest uint8."""
    return tf.cast(tf.round(image), tf.uint8)
