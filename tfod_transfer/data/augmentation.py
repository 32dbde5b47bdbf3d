"""The augmentation preset `zoo`: images change as when the model was trained.

Each change is a function of (photograph, boxes, seed) and nothing else. A photograph is the cached one: without the
padding of its square, and of another shape than the file if the model's resizer stretches. Boxes are float32 [n, 4],
normalised [ymin, xmin, ymax, xmax] of the photograph; classes int32 [n]. Every geometric change ends with
`geometry.keep_visible`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfod_transfer.data import geometry, resize, zoom
from tfod_transfer.data.geometry import Example

_SCALES = (0.1, 2.0)
_SSD_KEPT_WHOLE = 0.15
_SSD_COVERED = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_BLACK = (0.0, 0.0, 0.0)
_WHOLE = (0.0, 0.0, 1.0, 1.0)

# (example, height and width of the file's photograph int32 [2], seed int64 [2], side of the model's input in pixels).
# Of the result, boxes with a side under one pixel of that input are gone.
Augmentation = Callable[[Example, tf.Tensor, tf.Tensor, int], Example]


def mirror_and_crop(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images, then crops all: aspect ratio (width / height) in .75..3, area in .75..1.

    The zoo's SSD models with a feature pyramid were trained so. Boxes have no say in the crop, since the zoo asks for
    a covered share of 0.
    """
    flip_seed, crop_seed = tf.unstack(tf.random.split(seed, 2))
    example = geometry.mirror_half(example, original_size, flip_seed, input_size)
    window = geometry.sample_window(original_size, crop_seed, aspect_ratios=(0.75, 3.0), areas=(0.75, 1.0))
    return geometry.crop(example, window, input_size)


def mirror_and_ssd_crop(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images, then crops most: aspect ratio in .5..2, area in .1..1.

    `ssd_random_crop` of the Object Detection API (core/preprocessor.py), with which the zoo's plain SSD MobileNetV2 was
    trained. A share is drawn that the crop must cover of one box at least; boxes of which it covers less are dropped.
    """
    flip_seed, share_seed, keep_seed, crop_seed = tf.unstack(tf.random.split(seed, 4))
    example = geometry.mirror_half(example, original_size, flip_seed, input_size)
    share = tf.gather(_SSD_COVERED, tf.random.stateless_uniform([], share_seed, 0, len(_SSD_COVERED), tf.int32))
    window = geometry.sample_window(
        original_size, crop_seed, aspect_ratios=(0.5, 2.0), areas=(0.1, 1.0), boxes=example.boxes, covered=share
    )
    window = tf.where(tf.random.stateless_uniform([], keep_seed) < _SSD_KEPT_WHOLE, _WHOLE, window)
    return geometry.crop(example, window, input_size, min_share=share)


def mirror_and_scale(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images, then scales all by .1..2 into a square of side `input_size`.

    `random_scale_crop_and_pad_to_square` of the Object Detection API (core/preprocessor.py), with which the zoo's
    EfficientDets were trained: 1 is the size at which the photograph just fits; of a larger one the square shows a
    random part; below and right of a smaller one the square is black, unlike the padding in evaluation. What is larger
    than 1 is enlarged from the cached photograph, and softer than the file's would be.
    """
    flip_seed, scale_seed, corner_seed = tf.unstack(tf.random.split(seed, 3))
    example = geometry.mirror_half(example, original_size, flip_seed, input_size)
    sides = tf.cast(original_size, tf.float32)
    scale = tf.random.stateless_uniform([], scale_seed, *_SCALES) * input_size
    scaled = tf.maximum(tf.cast(scale * (sides / tf.reduce_max(sides)), tf.int32), 1)
    spare = tf.cast(tf.maximum(scaled - input_size, 0), tf.float32)
    corner = tf.cast(spare * tf.random.stateless_uniform([2], corner_seed), tf.int32)
    image = resize.stretch(tf.cast(example.image, tf.float32), scaled)
    image = image[corner[0] : corner[0] + input_size, corner[1] : corner[1] + input_size]
    scaled, corner = (tf.tile(tf.cast(each, tf.float32), [2]) for each in (scaled, corner))
    boxes = (example.boxes * scaled - corner) / input_size
    return geometry.keep_visible(Example(resize.pad(image, input_size, _BLACK), boxes, example.classes), input_size)


# What `Structure.augmentation` says of a model -> how the zoo augments its images.
ZOO: dict[str, Augmentation] = {
    "crop": mirror_and_crop,
    "ssd_crop": mirror_and_ssd_crop,
    "scale_and_crop": mirror_and_scale,
    "multibox": zoom.mirror_and_zoom,
}
