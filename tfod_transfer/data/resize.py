"""The one resize of images to a model's input, for training, evaluation and export alike.

Of the square that a model sees, the photograph fills all ("fixed") or a part at the upper left ("keep_aspect_ratio");
the rest is padding. Boxes and windows [ymin, xmin, ymax, xmax] are normalised: by the photograph or by the square.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer.data import normalization
from tfod_transfer.registry import ModelSpec

_NEARLY_SQUARE = 1.1  # longer side by shorter


def resize(image: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Resizes raw RGB, uint8 or float32 [H, W, 3], to the model's float32 [S, S, 3], still 0..255.

    Padding has the colour that normalises to 0: the zoo pads after it has normalised.
    """
    content = stretch(image, content_size(tf.shape(image)[:2], spec))
    square = content if spec.resizer == "fixed" else pad(content, spec.input_size, padding_color(spec))
    return tf.ensure_shape(square, [spec.input_size, spec.input_size, 3])


def content_size(original_size: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Returns the height and width, int32 [..., 2], that photographs of int32 [..., 2] have in the model's square.

    In float32 as in `keep_aspect_ratio_resizer` of the Object Detection API (core/preprocessor.py, resize_to_range),
    but no side vanishes.
    """
    if spec.resizer == "fixed":
        return tf.fill(tf.shape(original_size), spec.input_size)
    sides = tf.cast(original_size, tf.float32)
    scale = spec.input_size / tf.reduce_max(sides, axis=-1, keepdims=True)
    return tf.maximum(tf.cast(tf.round(sides * scale), tf.int32), 1)


def windows(original_size: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Returns the part of the square, float32 [..., 4], that photographs of int32 [..., 2] (height, width) fill."""
    corner = tf.cast(content_size(original_size, spec), tf.float32) / spec.input_size
    return tf.concat([tf.zeros_like(corner), corner], axis=-1)


def into_square(boxes: tf.Tensor, original_size: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Makes boxes [n, 4] of a photograph of int32 [2] (height, width) relative to the model's square."""
    return boxes * tf.tile(windows(original_size, spec)[2:], [2])


def keeps_proportions(original_size: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Whether the model sees photographs of int32 [2] (height, width) in their own proportions, to a tenth or so."""
    sides = tf.cast(original_size, tf.float32)
    return tf.constant(spec.resizer != "fixed") | (tf.reduce_max(sides) <= _NEARLY_SQUARE * tf.reduce_min(sides))


def stretch(image: tf.Tensor, size: tf.Tensor | Sequence[int]) -> tf.Tensor:
    """Stretches an image with TensorFlow 1's bilinear kernel, as the zoo does.

    Output pixel i shows the input at i * (input side / output side): no half-pixel centres, no aligned corners, no
    antialiasing. The zoo normalises before it resizes; normalising is affine, so that it may as well follow.

    Args:
      image: uint8 or float32 [H, W, 3].
      size: new height and width in pixels.

    Returns:
      float32 [height, width, 3], in the range of the input.
    """
    resized = tf.raw_ops.ResizeBilinear(
        images=image[tf.newaxis], size=size, align_corners=False, half_pixel_centers=False
    )
    return resized[0]


def pad(image: tf.Tensor, size: int, color: Sequence[float]) -> tf.Tensor:
    """Pads float32 [h, w, 3], h and w at most `size`, at the bottom and right: [size, size, 3]."""
    height, width = tf.unstack(tf.shape(image)[:2])
    right = tf.broadcast_to(tf.constant(color), [height, size - width, 3])
    bottom = tf.broadcast_to(tf.constant(color), [size - height, size, 3])
    return tf.ensure_shape(tf.concat([tf.concat([image, right], axis=1), bottom], axis=0), [size, size, 3])


def padding_color(spec: ModelSpec) -> list[float]:
    """The raw RGB, 0..255, of the padding of a model that pads."""
    return normalization.mean_color(spec.structure.normalization)


def identity(spec: ModelSpec) -> str:
    """A text that differs between models whose resized images of equal shape may differ."""
    return spec.resizer if spec.resizer == "fixed" else f"{spec.resizer} {padding_color(spec)}"


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds float32 in 0..255 to the nearest uint8."""
    return tf.cast(tf.round(image), tf.uint8)
