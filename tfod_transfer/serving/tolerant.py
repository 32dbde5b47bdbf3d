"""Encoded images to a detector's input where a bad one answers for itself and leaves the others alone.

TensorFlow has no op that decodes or says that it cannot; `ignore_errors` of tf.data, inside the graph, is what comes
nearest: a row whose function fails is left out, and another stands in for it. That function is prepared anew by each
run, so that it holds the ops that may fail and no others.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfod_transfer.data import decode, resize
from tfod_transfer.registry import ModelSpec
from tfod_transfer.serving import image_kinds

_FAILED = -1


class Prepared(NamedTuple):
    """B images as a detector takes them.

    Attributes:
      images: float32 [B, S, S, 3], RGB 0..255; black for a bad image.
      windows: float32 [B, 4], the part [ymin, xmin, ymax, xmax] of each that is image.
      sizes: int32 [B, 2], height and width of each upright; 0 of a bad image.
      status: string [B], "" for a good image, else a sentence on what is wrong with it.
    """

    images: tf.Tensor
    windows: tf.Tensor
    sizes: tf.Tensor
    status: tf.Tensor


def prepare(image_bytes: tf.Tensor, spec: ModelSpec, max_pixels: int) -> Prepared:
    """Decodes images, turns them upright and resizes them.

    Args:
      image_bytes: string [B], files of any kinds and sizes, or anything else.
      spec: of the detector.
      max_pixels: an image with more, by its header, is bad; it is not decoded.
    """
    found = image_kinds.look_at(image_bytes)
    black = tf.zeros([spec.input_size, spec.input_size, 3])
    whole = tf.constant([0.0, 0.0, 1.0, 1.0])

    def row(image: image_kinds.Kinds, contents: tf.Tensor) -> Prepared:
        decoded, pixels = _decoded(contents, image, max_pixels)
        status = tf.where(pixels > max_pixels, _too_many(pixels, max_pixels), image.refusals)
        status = tf.where(pixels == _FAILED, image.failures, status)

        def resized() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            upright = decode.orient(decoded, decode.exif_orientation(contents))
            size = tf.shape(upright)[:2]
            return resize.resize(upright, spec), resize.windows(size, spec), size

        image_of_input, window, size = tf.cond(status == "", resized, lambda: (black, whole, tf.constant([0, 0])))
        return Prepared(image_of_input, window, size, status)

    specs = Prepared(
        tf.TensorSpec(black.shape), tf.TensorSpec([4]), tf.TensorSpec([2], tf.int32), tf.TensorSpec([], tf.string)
    )
    return Prepared(*tf.map_fn(lambda each: row(*each), (found, image_bytes), fn_output_signature=specs))


def _decoded(contents: tf.Tensor, image: image_kinds.Kinds, max_pixels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """One image, uint8 [H, W, 3], and its pixels, int64.

    Where it is refused, or has too many pixels, the image is empty; so it is where anything fails, with _FAILED pixels.
    """
    is_gif, is_jpeg = (image.kinds == image_kinds.index(name) for name in ("GIF", "JPEG"))
    is_allowed = image.refusals == ""
    pixels = tf.cond(
        is_gif, lambda: tf.maximum(image.pixels, image_kinds.gif_pixels(contents)), lambda: tf.identity(image.pixels)
    )
    nothing = tf.zeros([0, 0, 3], tf.uint8)

    def may_fail(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = tf.cond(is_jpeg & is_allowed, lambda: _jpeg_pixels(contents), lambda: tf.identity(pixels))
        decodes = is_allowed & (found <= max_pixels)
        return tf.cond(decodes, lambda: decode.decode_image(contents), lambda: nothing), found

    found = tf.data.Dataset.from_tensors(0).map(may_fail).ignore_errors()
    instead = tf.data.Dataset.from_tensors((nothing, tf.constant(_FAILED, tf.int64)))
    decoded, pixels = found.concatenate(instead).take(1).get_single_element()
    return decoded, pixels


def _jpeg_pixels(contents: tf.Tensor) -> tf.Tensor:
    """Width times height, int64; fails on a damaged header."""
    return tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(contents)[:2], tf.int64))


def _too_many(pixels: tf.Tensor, max_pixels: int) -> tf.Tensor:
    limit = f" pixels are more than the {max_pixels} that this model decodes; send a smaller image"
    return tf.strings.as_string(pixels) + limit
