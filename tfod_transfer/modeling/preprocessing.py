"""From an upright RGB image to the network's input, in training, evaluation and export alike."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.registry import ModelSpec

# architecture -> (scale, offset) of each channel: network input = scale * raw + offset.
_NORMALIZATION = {"ssd_mobilenet_v2_fpnlite": (2.0 / 255.0, -1.0)}


def normalize(images: tf.Tensor, architecture: str) -> tf.Tensor:
    """Raw RGB [..., 3] in 0..255, any number type -> float32 [..., 3] as the backbone was trained with."""
    scale, offset = _NORMALIZATION[architecture]
    return tf.cast(images, tf.float32) * scale + offset


def resize(image: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """Resizes raw RGB [H, W, 3] to float32 [S, S, 3], still 0..255.

    The zoo resizes with TensorFlow 1's bilinear kernel (corner at pixel 0, no half-pixel centres, no antialiasing), and
    normalises before it resizes; normalising is affine, so that it may as well follow, in float32.

    Raises:
      RegistryError: the model's resizer is not built yet.
    """
    if spec.resizer != "fixed":
        raise errors.RegistryError(f"{spec.model_id}: resizer {spec.resizer!r} is not built yet; built: 'fixed'")
    size = [spec.input_size, spec.input_size]
    return tf.raw_ops.ResizeBilinear(images=tf.cast(image, tf.float32)[tf.newaxis], size=size)[0]
