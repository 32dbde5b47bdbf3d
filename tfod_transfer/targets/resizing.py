"""The resize of `data.resize` in ops that every target has, for images whose size is known only when it runs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfod_transfer.data import resize
from tfod_transfer.registry import ModelSpec


def into_square(image: tf.Tensor, spec: ModelSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes an image to the model's square, as `data.resize.resize` does.

    Args:
      image: uint8 [1, H, W, 3], raw RGB; H and W may be unknown.
      spec: of the detector.

    Returns:
      float32 [1, S, S, 3], still 0..255, and the height and width, float32 [2], of the part of the square that is
      image and not padding, normalised.
    """
    if spec.resizer == "fixed":
        # TensorFlow Lite's kernel gives the type that it is given, and would round.
        pixels = tf.cast(image, tf.float32)
        return resize.stretch(pixels[0], [spec.input_size, spec.input_size])[tf.newaxis], tf.ones([2])
    content = resize.content_size(tf.shape(image)[1:3], spec)
    return _padded(image, content, spec), tf.cast(content, tf.float32) / spec.input_size


def _padded(image: tf.Tensor, content: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Stretches an image to a height and width that it decides itself, int32 [2], and pads it to the square.

    Every pixel of the square looks up its four neighbours in the image: so all shapes are fixed from here on, which
    TensorFlow Lite's fast kernels need, and no resize to a size of its own would give.
    """
    size, side = tf.shape(image)[1:3], spec.input_size
    top, bottom, down = _neighbours(size[0], content[0], side)
    left, right, across = _neighbours(size[1], content[1], side)

    def blended(rows: tf.Tensor) -> tf.Tensor:
        first, second = (tf.cast(tf.gather(rows, columns, axis=2), tf.float32) for columns in (left, right))
        return first + (second - first) * across[:, tf.newaxis]

    upper, lower = blended(tf.gather(image, top, axis=1)), blended(tf.gather(image, bottom, axis=1))
    square = tf.ensure_shape(upper + (lower - upper) * down[:, tf.newaxis, tf.newaxis], [1, side, side, 3])
    rows, columns = (tf.cast(tf.range(side) < content[axis], tf.float32) for axis in (0, 1))
    inside = (rows[:, tf.newaxis] * columns)[tf.newaxis, :, :, tf.newaxis]
    color = tf.constant(resize.padding_color(spec))
    return color + (square - color) * inside


def _neighbours(size: tf.Tensor, content: tf.Tensor, side: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of each of `side` pixels in a row: the image's two pixels, int32, and the share of the second, float32."""
    scale = tf.cast(size, tf.float32) / tf.cast(content, tf.float32)
    position = tf.constant(np.arange(side, dtype=np.float32)) * scale
    below = tf.floor(position)
    first = tf.minimum(tf.cast(below, tf.int32), size - 1)
    return first, tf.minimum(first + 1, size - 1), position - below
