"""Boxes as offsets from anchors (Faster R-CNN, https://arxiv.org/abs/1506.01497, section 3.1.2), float32 throughout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_EPSILON = 1e-8  # keeps the logarithm of an empty box finite; the zoo adds it when encoding only


def encode(boxes: tf.Tensor, anchors: npt.NDArray[np.float32], scales: Sequence[float]) -> tf.Tensor:
    """Encodes boxes [..., A, 4] of [ymin, xmin, ymax, xmax] against anchors [A, 4] as [..., A, 4] of (ty, tx, th, tw).

    `scales` are factors of (ty, tx, th, tw).
    """
    middles, sizes = _middles_and_sizes(tf.cast(boxes, tf.float32))
    anchor_middles, anchor_sizes = _middles_and_sizes(tf.constant(anchors, tf.float32))
    sizes, anchor_sizes = sizes + _EPSILON, anchor_sizes + _EPSILON
    codes = [(middles - anchor_middles) / anchor_sizes, tf.math.log(sizes / anchor_sizes)]
    return tf.concat(codes, axis=-1) * tf.constant(scales, tf.float32)


def decode(encodings: tf.Tensor, anchors: npt.NDArray[np.float32] | tf.Tensor, scales: Sequence[float]) -> tf.Tensor:
    """Inverse of `encode`: [..., A, 4] of (ty, tx, th, tw) -> [..., A, 4] of [ymin, xmin, ymax, xmax], not clipped.

    `anchors` are float32 [A, 4] or [..., A, 4].
    """
    codes = tf.cast(encodings, tf.float32) / tf.constant(scales, tf.float32)
    anchor_middles, anchor_sizes = _middles_and_sizes(tf.convert_to_tensor(anchors, tf.float32))
    middles = codes[..., :2] * anchor_sizes + anchor_middles
    half = tf.exp(codes[..., 2:]) * anchor_sizes / 2
    return tf.concat([middles - half, middles + half], axis=-1)


def _middles_and_sizes(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    sizes = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sizes / 2, sizes
