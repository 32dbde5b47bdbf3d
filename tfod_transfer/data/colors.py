"""Random changes of an image's colours, moderate enough to leave a person's answer the same.

All four changes are affine in (R, G, B), so that together they are one product with a 3 x 3 matrix: an eighth of the
time of tf.image's four random changes, which go to HSV and back.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

BRIGHTNESS = 0.125  # of the full range, added or taken away
CONTRAST = (0.75, 1.25)
SATURATION = (0.6, 1.4)
HUE_DEGREES = 10.0

# Luma, and two axes of colour around which hue turns and which saturation stretches (NTSC's YIQ).
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def jitter(image: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
    """Changes hue, saturation, contrast and brightness of float32 [h, w, 3], 0..255, by four numbers in 0..1: [4]."""
    angle, light = math.radians(HUE_DEGREES), 255 * BRIGHTNESS
    low = tf.constant([-angle, SATURATION[0], CONTRAST[0], -light])
    high = tf.constant([angle, SATURATION[1], CONTRAST[1], light])
    return change(image, *tf.unstack(low + drawn * (high - low)))


def change(
    image: tf.Tensor, hue: tf.Tensor, saturation: tf.Tensor, contrast: tf.Tensor, brightness: tf.Tensor
) -> tf.Tensor:
    """Changes the colours of an image.

    Args:
      image: float32 [h, w, 3], 0..255.
      hue: angle in radians by which colours turn; gray stays.
      saturation: factor of the distance from gray of the same luma.
      contrast: factor of the distance from the mean of all pixels and channels.
      brightness: added, in 0..255.

    Returns:
      uint8 [h, w, 3], rounded, and clipped to 0..255.
    """
    cosine, sine = saturation * tf.cos(hue), saturation * tf.sin(hue)
    nothing, one = tf.zeros_like(cosine), tf.ones_like(cosine)
    turn = tf.stack([[one, nothing, nothing], [nothing, cosine, -sine], [nothing, sine, cosine]])
    matrix = contrast * tf.constant(np.linalg.inv(_TO_YIQ), tf.float32) @ turn @ tf.constant(_TO_YIQ, tf.float32)
    shift = (1.0 - contrast) * tf.reduce_mean(image) + brightness
    # A convolution by 1 x 1 would be the same, but oneDNN prepares one anew for each shape, in four times the time.
    changed = tf.reshape(tf.matmul(tf.reshape(image, [-1, 3]), matrix, transpose_b=True), tf.shape(image))
    return tf.saturate_cast(tf.round(changed + shift), tf.uint8)
