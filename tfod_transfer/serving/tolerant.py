"""Encoded images to a detector's input where a bad one answers for itself and leaves the others alone.

TensorFlow has no op that decodes or says that it cannot; `ignore_errors` of tf.data, inside the graph, is what comes
nearest: a row whose function fails is left out, and what is missing afterwards is bad.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfod_transfer.data import decode, resize
from tfod_transfer.registry import ModelSpec
from tfod_transfer.serving import image_kinds

Row = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]

_AT_ONCE = 4  # images of a batch that are decoded side by side


class Prepared(NamedTuple):
    """B images as a detector takes them.

    Attributes:
      images: float32 [B, S, S, 3], RGB 0..255; black for a bad image.
      windows: float32 [B, 4], the part [ymin, xmin, ymax, xmax] of each that is image.
      status: string [B], "" for a good image, else a sentence on what is wrong with it.
    """

    images: tf.Tensor
    windows: tf.Tensor
    status: tf.Tensor


def prepare(image_bytes: tf.Tensor, spec: ModelSpec, max_pixels: int) -> Prepared:
    """Decodes images, turns them upright and resizes them.

    Args:
      image_bytes: string [B], files of any kinds and sizes, or anything else.
      spec: of the detector.
      max_pixels: an image with more, by its header, is bad; it is not decoded.
    """
    found = image_kinds.look_at(image_bytes)
    count = tf.shape(image_bytes)[0]
    black = tf.zeros([spec.input_size, spec.input_size, 3])
    whole = tf.constant([0.0, 0.0, 1.0, 1.0])

    def row(number: tf.Tensor, contents: tf.Tensor, kind: tf.Tensor, pixels: tf.Tensor, refusal: tf.Tensor) -> Row:
        pixels = tf.cond(refusal == "", lambda: _pixels(contents, kind, pixels), lambda: tf.identity(pixels))
        refusal = tf.where(pixels > max_pixels, _too_many(pixels, max_pixels), refusal)

        def decoded() -> tuple[tf.Tensor, tf.Tensor]:
            image = decode.orient(decode.decode_image(contents), decode.exif_orientation(contents))
            return resize.resize(image, spec), resize.windows(tf.shape(image)[:2], spec)

        image, window = tf.cond(refusal == "", decoded, lambda: (black, whole))
        return number, image, window, refusal

    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes, found.kinds, found.pixels, found.refusals))
    rows = rows.map(row, num_parallel_calls=_AT_ONCE, deterministic=True).ignore_errors()
    last = tf.data.Dataset.from_tensors((count, black, whole, tf.constant("")))  # stands in for what is missing
    numbers, images, windows, refusals = rows.concatenate(last).batch(tf.cast(count, tf.int64) + 1).get_single_element()
    missing = tf.shape(numbers)[0] - 1
    places = tf.tensor_scatter_nd_update(tf.fill([count + 1], missing), numbers[:, tf.newaxis], tf.range(missing + 1))[
        :count
    ]
    status = tf.where(places == missing, found.failures, tf.gather(refusals, places))
    return Prepared(tf.gather(images, places), tf.gather(windows, places), status)


def _pixels(contents: tf.Tensor, kind: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """All pixels that decoding makes, int64; fails on a JPEG whose header is damaged."""

    def of_jpeg() -> tf.Tensor:
        return tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(contents)[:2], tf.int64))

    def of_gif() -> tf.Tensor:
        return tf.maximum(pixels, image_kinds.gif_pixels(contents))

    cases = [(kind == image_kinds.index("JPEG"), of_jpeg), (kind == image_kinds.index("GIF"), of_gif)]
    return tf.case(cases, default=lambda: tf.identity(pixels))


def _too_many(pixels: tf.Tensor, max_pixels: int) -> tf.Tensor:
    limit = f" pixels are more than the {max_pixels} that this model decodes; send a smaller image"
    return tf.strings.as_string(pixels) + limit
