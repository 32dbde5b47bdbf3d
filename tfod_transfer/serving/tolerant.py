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

    def row(
        number: tf.Tensor, contents: tf.Tensor, kind: tf.Tensor, size: tf.Tensor, refusal: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        height, width = tf.unstack(_size(contents, kind, size, refusal))
        refusal = tf.where(height * width > max_pixels, _too_many(height, width, max_pixels), refusal)

        def decoded() -> tuple[tf.Tensor, tf.Tensor]:
            image = decode.orient(decode.decode_image(contents), decode.exif_orientation(contents))
            return resize.resize(image, spec), resize.windows(tf.shape(image)[:2], spec)

        image, window = tf.cond(refusal == "", decoded, lambda: (black, whole))
        return number, image, window, refusal

    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes, found.kinds, found.sizes, found.refusals))
    rows = rows.map(row, num_parallel_calls=_AT_ONCE, deterministic=True).ignore_errors()
    last = tf.data.Dataset.from_tensors((count, black, whole, tf.constant("")))  # stands in for what is missing
    numbers, images, windows, refusals = rows.concatenate(last).batch(tf.cast(count, tf.int64) + 1).get_single_element()
    missing = tf.shape(numbers)[0] - 1
    places = tf.tensor_scatter_nd_update(tf.fill([count + 1], missing), numbers[:, tf.newaxis], tf.range(missing + 1))[
        :count
    ]
    status = tf.where(places == missing, found.failures, tf.gather(refusals, places))
    return Prepared(tf.gather(images, places), tf.gather(windows, places), status)


def _size(contents: tf.Tensor, kind: tf.Tensor, size: tf.Tensor, refusal: tf.Tensor) -> tf.Tensor:
    """Height and width, int64 [2], as the header says; fails on a JPEG whose header is damaged."""
    is_jpeg = (kind == image_kinds.index("JPEG")) & (refusal == "")
    return tf.cond(
        is_jpeg, lambda: tf.cast(tf.image.extract_jpeg_shape(contents)[:2], tf.int64), lambda: tf.identity(size)
    )


def _too_many(height: tf.Tensor, width: tf.Tensor, max_pixels: int) -> tf.Tensor:
    pixels = [tf.strings.as_string(width), " x ", tf.strings.as_string(height), " pixels"]
    limit = f" are more than the {max_pixels / 1e6:g} megapixels that this model decodes; send a smaller image"
    return tf.strings.join([*pixels, limit])
