"""Random changes to a training image and its boxes: each a function of (image, boxes, seed) and nothing else.

Images are the cached ones: uint8 squares of side C. Boxes are float32 [n, 4], normalised [ymin, xmin, ymax, xmax];
classes int32 [n]. Every geometric change ends with `keep_visible`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Example(NamedTuple):
    """An image with its ground truth.

    Attributes:
      image: uint8 [h, w, 3]; all or part of the image, of any size.
      boxes: float32 [n, 4].
      classes: int32 [n].
    """

    image: tf.Tensor
    boxes: tf.Tensor
    classes: tf.Tensor


def none(example: Example, original_size: tf.Tensor, seed: tf.Tensor, min_side: float) -> Example:
    """Leaves the example as it is."""
    del original_size, seed, min_side
    return example


def zoo(example: Example, original_size: tf.Tensor, seed: tf.Tensor, min_side: float) -> Example:
    """Mirrors half of the images, then crops all, as the zoo's SSD models were trained.

    Args:
      example: a cached image with its ground truth.
      original_size: int32 [2], height and width of the photograph.
      seed: int64 [2].
      min_side: boxes with a shorter side, as a share of the crop, are dropped.
    """
    flip_seed, crop_seed = tf.unstack(tf.random.split(seed, 2))
    example = tf.cond(
        tf.random.stateless_uniform([], flip_seed) < 0.5,
        lambda: flip_horizontally(example, original_size, min_side),
        lambda: example,
    )
    return crop(example, sample_window(example.image, original_size, crop_seed), min_side)


Augmentation = Callable[[Example, tf.Tensor, tf.Tensor, float], Example]
AUGMENTATIONS: dict[str, Augmentation] = {"none": none, "zoo": zoo}


def flip_horizontally(example: Example, original_size: tf.Tensor, min_side: float) -> Example:
    """Mirrors left and right.

    A resized image shows the photograph at the left edge of each of its pixels (see `resize.stretch`), a mirrored one
    at the right edge. The boxes move by the difference, so that they lie to the pixels as in an image that was mirrored
    before it was resized: up to one pixel, which would otherwise blur what the box head learns.
    """
    side = tf.cast(tf.shape(example.image)[1], tf.float32)
    shift = 1.0 / side - 1.0 / tf.cast(original_size[1], tf.float32)
    ymin, xmin, ymax, xmax = tf.unstack(example.boxes, axis=1)
    boxes = tf.stack([ymin, 1.0 - xmax - shift, ymax, 1.0 - xmin - shift], axis=1)
    return keep_visible(Example(tf.reverse(example.image, [1]), boxes, example.classes), min_side)


def sample_window(image: tf.Tensor, original_size: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws the zoo's crop: aspect ratio (width / height) in .75..3, area in .75..1, both of the photograph.

    An image that has no such part (a narrow one) keeps its whole area. Boxes have no say, since the zoo asks for a
    covered share of 0.

    Returns:
      int32 [4], [ymin, xmin, ymax, xmax] in pixels of `image`.
    """
    _, _, window = tf.image.stateless_sample_distorted_bounding_box(
        image_size=tf.concat([original_size, [3]], axis=0),
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=(0.75, 3.0),
        area_range=(0.75, 1.0),
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    sides = tf.cast(tf.tile(tf.shape(image)[:2], [2]), tf.float32)
    return tf.cast(tf.round(window[0, 0] * sides), tf.int32)


def crop(example: Example, window: tf.Tensor, min_side: float) -> Example:
    """Cuts a window, int32 [4] ([ymin, xmin, ymax, xmax] in pixels), out of the image; boxes follow."""
    ymin, xmin, ymax, xmax = tf.unstack(window)
    sides = tf.cast(tf.shape(example.image)[:2], tf.float32)
    corner = tf.cast(window[:2], tf.float32)
    extent = tf.cast(window[2:] - window[:2], tf.float32)
    boxes = (example.boxes * tf.tile(sides, [2]) - tf.tile(corner, [2])) / tf.tile(extent, [2])
    return keep_visible(Example(example.image[ymin:ymax, xmin:xmax], boxes, example.classes), min_side)


def keep_visible(example: Example, min_side: float) -> Example:
    """Clips boxes to the image and drops those with a side shorter than `min_side` in it."""
    boxes = tf.clip_by_value(example.boxes, 0.0, 1.0)
    keep = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= min_side, axis=1)
    return Example(example.image, tf.boolean_mask(boxes, keep), tf.boolean_mask(example.classes, keep))
