"""Random changes to a training image and its boxes: each a function of (photograph, boxes, seed) and nothing else.

A photograph is the cached one: without the padding of its square, and of another shape than the file if the model's
resizer stretches. Boxes are float32 [n, 4], normalised [ymin, xmin, ymax, xmax] of the photograph; classes int32 [n].
Every geometric change ends with `keep_visible`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfod_transfer.data import resize

_SCALES = (0.1, 2.0)
_SSD_KEPT_WHOLE = 0.15
_SSD_COVERED = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_BLACK = (0.0, 0.0, 0.0)
_WHOLE = (0.0, 0.0, 1.0, 1.0)


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


# (example, height and width of the file's photograph int32 [2], seed int64 [2], side of the model's input in pixels).
# Of the result, boxes with a side under one pixel of that input are gone.
Augmentation = Callable[[Example, tf.Tensor, tf.Tensor, int], Example]


def mirror_and_crop(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images, then crops all: aspect ratio (width / height) in .75..3, area in .75..1.

    The zoo's SSD models with a feature pyramid were trained so. Boxes have no say in the crop, since the zoo asks for
    a covered share of 0.
    """
    flip_seed, crop_seed = tf.unstack(tf.random.split(seed, 2))
    example = _mirror_half(example, original_size, flip_seed, input_size)
    window = sample_window(original_size, crop_seed, aspect_ratios=(0.75, 3.0), areas=(0.75, 1.0))
    return crop(example, window, input_size)


def mirror_and_ssd_crop(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images, then crops most: aspect ratio in .5..2, area in .1..1.

    `ssd_random_crop` of the Object Detection API (core/preprocessor.py), with which the zoo's plain SSD MobileNetV2 was
    trained. A share is drawn that the crop must cover of one box at least; boxes of which it covers less are dropped.
    """
    flip_seed, share_seed, keep_seed, crop_seed = tf.unstack(tf.random.split(seed, 4))
    example = _mirror_half(example, original_size, flip_seed, input_size)
    share = tf.gather(_SSD_COVERED, tf.random.stateless_uniform([], share_seed, 0, len(_SSD_COVERED), tf.int32))
    window = sample_window(
        original_size, crop_seed, aspect_ratios=(0.5, 2.0), areas=(0.1, 1.0), boxes=example.boxes, covered=share
    )
    window = tf.where(tf.random.stateless_uniform([], keep_seed) < _SSD_KEPT_WHOLE, _WHOLE, window)
    return crop(example, window, input_size, min_share=share)


def mirror_and_scale(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images, then scales all by .1..2 into a square of side `input_size`.

    `random_scale_crop_and_pad_to_square` of the Object Detection API (core/preprocessor.py), with which the zoo's
    EfficientDets were trained: 1 is the size at which the photograph just fits; of a larger one the square shows a
    random part; below and right of a smaller one the square is black, unlike the padding in evaluation. What is larger
    than 1 is enlarged from the cached photograph, and softer than the file's would be.
    """
    flip_seed, scale_seed, corner_seed = tf.unstack(tf.random.split(seed, 3))
    example = _mirror_half(example, original_size, flip_seed, input_size)
    sides = tf.cast(original_size, tf.float32)
    scale = tf.random.stateless_uniform([], scale_seed, *_SCALES) * input_size
    scaled = tf.maximum(tf.cast(scale * (sides / tf.reduce_max(sides)), tf.int32), 1)
    spare = tf.cast(tf.maximum(scaled - input_size, 0), tf.float32)
    corner = tf.cast(spare * tf.random.stateless_uniform([2], corner_seed), tf.int32)
    image = resize.stretch(tf.cast(example.image, tf.float32), scaled)
    image = image[corner[0] : corner[0] + input_size, corner[1] : corner[1] + input_size]
    scaled, corner = (tf.tile(tf.cast(each, tf.float32), [2]) for each in (scaled, corner))
    boxes = (example.boxes * scaled - corner) / input_size
    return keep_visible(Example(resize.pad(image, input_size, _BLACK), boxes, example.classes), input_size)


# Preset -> what `Structure.augmentation` says of the model -> change; images of other models are left as they are.
PRESETS: dict[str, dict[str, Augmentation]] = {
    "none": {},
    "zoo": {"crop": mirror_and_crop, "ssd_crop": mirror_and_ssd_crop, "scale_and_crop": mirror_and_scale},
}


def flip_horizontally(example: Example, original_size: tf.Tensor, input_size: int) -> Example:
    """Mirrors left and right.

    A resized image shows the photograph at the left edge of each of its pixels (see `resize.stretch`), a mirrored one
    at the right edge. The boxes move by the difference, so that they lie to the pixels as in an image that was mirrored
    before it was resized: up to one pixel, which would otherwise blur what the box head learns.
    """
    side = tf.cast(tf.shape(example.image)[1], tf.float32)
    shift = 1.0 / side - 1.0 / tf.cast(original_size[1], tf.float32)
    ymin, xmin, ymax, xmax = tf.unstack(example.boxes, axis=1)
    boxes = tf.stack([ymin, 1.0 - xmax - shift, ymax, 1.0 - xmin - shift], axis=1)
    return keep_visible(Example(tf.reverse(example.image, [1]), boxes, example.classes), input_size)


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
    inside = tf.clip_by_value(example.boxes, tf.tile(window[:2], [2]), tf.tile(window[2:], [2]))
    keep = tf.math.divide_no_nan(_areas(inside), _areas(example.boxes)) >= min_share
    corner, extent = (tf.tile(tf.cast(each, tf.float32), [2]) for each in (low, high - low))
    boxes = (tf.boolean_mask(example.boxes, keep) * tf.tile(tf.cast(sides, tf.float32), [2]) - corner) / extent
    image = example.image[low[0] : high[0], low[1] : high[1]]
    return keep_visible(Example(image, boxes, tf.boolean_mask(example.classes, keep)), input_size)


def keep_visible(example: Example, input_size: int) -> Example:
    """Clips boxes to the image and drops those under one pixel high or wide in it, at the model's input size."""
    boxes = tf.clip_by_value(example.boxes, 0.0, 1.0)
    keep = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= 1.0 / input_size, axis=1)
    return Example(example.image, tf.boolean_mask(boxes, keep), tf.boolean_mask(example.classes, keep))


def _mirror_half(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    mirrored: Example = tf.cond(
        tf.random.stateless_uniform([], seed) < 0.5,
        lambda: flip_horizontally(example, original_size, input_size),
        lambda: example,
    )
    return mirrored


def _areas(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=1)
