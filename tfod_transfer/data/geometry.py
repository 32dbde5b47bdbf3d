"""Changes of an image's geometry, with its boxes: mirror, turn, draw a window, cut; of tensors only, for tf.data.

Boxes are float32 [n, 4], normalised [ymin, xmin, ymax, xmax] of the image.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Example(NamedTuple):
    """An image with its ground truth.

    Attributes:
      image: uint8 or float32 [h, w, 3], 0..255; all or part of the photograph, of any size.
      boxes: float32 [n, 4].
      classes: int32 [n].
    """

    image: tf.Tensor
    boxes: tf.Tensor
    classes: tf.Tensor


class Photograph(NamedTuple):
    """A cached photograph with its ground truth, and the height and width, int32 [2], of its file."""

    example: Example
    original_size: tf.Tensor


def turn(photograph: Photograph, seed: tf.Tensor, input_size: int, *, sideways: tf.Tensor | bool = True) -> Photograph:
    """Exchanges rows and columns of half of the photographs, and turns half of all upside down.

    Mirrored half of the times as well, a photograph is seen in each of its eight orientations equally often; in the
    four that keep its shape where it may not be turned `sideways`.
    """
    transposed, upside_down = tf.unstack(tf.random.stateless_uniform([2], seed) < 0.5)
    photograph = tf.cond(transposed & sideways, lambda: transpose(photograph), lambda: photograph)
    example = tf.cond(upside_down, lambda: flip_vertically(*photograph, input_size), lambda: photograph.example)
    return Photograph(example, photograph.original_size)


def transpose(photograph: Photograph) -> Photograph:
    """Exchanges rows and columns: a mirror along the diagonal from the upper left corner."""
    image, boxes, classes = photograph.example
    example = Example(tf.transpose(image, [1, 0, 2]), tf.gather(boxes, [1, 0, 3, 2], axis=1), classes)
    return Photograph(example, photograph.original_size[::-1])


def mirror_half(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images."""
    mirrored: Example = tf.cond(
        tf.random.stateless_uniform([], seed) < 0.5,
        lambda: flip_horizontally(example, original_size, input_size),
        lambda: example,
    )
    return mirrored


def flip_horizontally(example: Example, original_size: tf.Tensor, input_size: int) -> Example:
    """Mirrors left and right."""
    return _flip(example, original_size, input_size, axis=1)


def flip_vertically(example: Example, original_size: tf.Tensor, input_size: int) -> Example:
    """Mirrors top and bottom."""
    return _flip(example, original_size, input_size, axis=0)


def sample_window(
    original_size: tf.Tensor,
    seed: tf.Tensor,
    *,
    aspect_ratios: tuple[float, float],
    areas: tuple[float, float],
    boxes: tf.Tensor | None = None,
    covered: tf.Tensor | float = 0.0,
) -> tf.Tensor:
    """Draws a part of a photograph; all of it where a hundred attempts find none.

    Args:
      original_size: int32 [2], height and width of the photograph.
      seed: int64 [2].
      aspect_ratios: lowest and highest width / height of the part, in pixels of the photograph.
      areas: lowest and highest share of the photograph's area.
      boxes: float32 [n, 4]; None when they have no say.
      covered: share of one of the boxes that the part has to contain.

    Returns:
      float32 [4], normalised [ymin, xmin, ymax, xmax].
    """
    boxes = tf.zeros([0, 4]) if boxes is None else tf.clip_by_value(boxes, 0.0, 1.0)
    _, _, window = tf.image.stateless_sample_distorted_bounding_box(
        image_size=tf.concat([original_size, [3]], axis=0),
        bounding_boxes=boxes[tf.newaxis],
        seed=seed,
        min_object_covered=covered,
        aspect_ratio_range=aspect_ratios,
        area_range=areas,
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    return window[0, 0]


def crop(example: Example, window: tf.Tensor, input_size: int, *, min_share: tf.Tensor | float = 0.0) -> Example:
    """Cuts a window, float32 [4] (normalised), out of the image, to whole pixels and at least one; boxes follow.

    Boxes of whose area less than `min_share` lies in the window are dropped.
    """
    sides = tf.shape(example.image)[:2]
    pixels = tf.cast(tf.round(window * tf.cast(tf.tile(sides, [2]), tf.float32)), tf.int32)
    low = tf.minimum(pixels[:2], sides - 1)
    high = tf.maximum(pixels[2:], low + 1)
    return keep_visible(_cut(example, window, low, high, min_share), input_size)


def cut(example: Example, low: tf.Tensor, high: tf.Tensor, *, min_share: float) -> Example:
    """Cuts the pixels from `low` to `high`, both int32 [2] and at least one apart, out of the image; boxes follow.

    Boxes of whose area less than `min_share` is in there are dropped.
    """
    sides = tf.shape(example.image)[:2]
    return _cut(example, tf.cast(tf.concat([low / sides, high / sides], axis=0), tf.float32), low, high, min_share)


def keep_visible(example: Example, input_size: int) -> Example:
    """Clips boxes to the image and drops those under one pixel high or wide in it, at the model's input size."""
    boxes = tf.clip_by_value(example.boxes, 0.0, 1.0)
    keep = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= 1.0 / input_size, axis=1)
    return _kept(example._replace(boxes=boxes), keep)


def _flip(example: Example, original_size: tf.Tensor, input_size: int, *, axis: int) -> Example:
    """Mirrors along an axis of the image.

    A resized image shows the photograph at the upper left of each of its pixels (see `resize.stretch`), a mirrored one
    at the other end. The boxes move by the difference, so that they lie to the pixels as in an image that was mirrored
    before it was resized: up to one pixel, which would otherwise blur what the box head learns.
    """
    side = tf.cast(tf.shape(example.image)[axis], tf.float32)
    shift = 1.0 / side - 1.0 / tf.cast(original_size[axis], tf.float32)
    corners = tf.unstack(example.boxes, axis=1)
    corners[axis], corners[axis + 2] = 1.0 - corners[axis + 2] - shift, 1.0 - corners[axis] - shift
    flipped = Example(tf.reverse(example.image, [axis]), tf.stack(corners, axis=1), example.classes)
    return keep_visible(flipped, input_size)


def _cut(example: Example, window: tf.Tensor, low: tf.Tensor, high: tf.Tensor, min_share: tf.Tensor | float) -> Example:
    inside = tf.clip_by_value(example.boxes, tf.tile(window[:2], [2]), tf.tile(window[2:], [2]))
    keep = tf.math.divide_no_nan(_areas(inside), _areas(example.boxes)) >= min_share
    sides = tf.tile(tf.cast(tf.shape(example.image)[:2], tf.float32), [2])
    corner, extent = (tf.tile(tf.cast(each, tf.float32), [2]) for each in (low, high - low))
    boxes = tf.clip_by_value((example.boxes * sides - corner) / extent, 0.0, 1.0)
    image = example.image[low[0] : high[0], low[1] : high[1]]
    return _kept(Example(image, boxes, example.classes), keep)


def _kept(example: Example, keep: tf.Tensor) -> Example:
    rows = tf.where(keep)[:, 0]  # once for both, unlike two boolean_mask
    return Example(example.image, tf.gather(example.boxes, rows), tf.gather(example.classes, rows))


def _areas(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=1)
