"""How SSD's images are augmented (arXiv 1512.02325, section 3.6), with the figures of MXNet's example/ssd/config."""

from __future__ import annotations

import math

import tensorflow as tf

from tfod_transfer.data import colors, geometry, resize
from tfod_transfer.data.geometry import Example

_CANVAS = (1.0, 4.0)  # side of the square that an image is put onto, in sides of the image
_FILL = 127.0
_COVERED = (0.1, 0.3, 0.5, 0.7, 0.9)  # share of a box that a part must show at least
_WHOLE = 1 / (1 + len(_COVERED))  # of the images are not cropped
_ASPECT_RATIOS, _AREAS = (0.5, 2.0), (0.3**2, 1.0)
# Largest changes, each made to half of the images: hue in radians (18 of OpenCV's 180), the others as `colors.change`.
_HUE, _SATURATION, _CONTRAST, _BRIGHTNESS = math.radians(36), 32 / 128, 0.5, 32.0


def mirror_and_zoom(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    """Mirrors half of the images, puts half onto a larger gray square, crops most, changes colours.

    A box stays if its centre is in what is shown.
    """
    mirror_seed, canvas_seed, place_seed, window_seed, colour_seed = tf.unstack(tf.random.split(seed, 5))
    example = geometry.mirror_half(example, original_size, mirror_seed, input_size)
    example = _recoloured(example, colour_seed)
    chance, side = tf.unstack(tf.random.stateless_uniform([2], canvas_seed))
    example = tf.cond(
        chance < 0.5,
        lambda: _put_onto_canvas(example, _CANVAS[0] + side * (_CANVAS[1] - _CANVAS[0]), place_seed),
        lambda: example,
    )
    return _cropped(example, original_size, window_seed, input_size)


def _put_onto_canvas(example: Example, factor: tf.Tensor, seed: tf.Tensor) -> Example:
    """An image of the same size that shows the whole one smaller, somewhere on gray."""
    sides = tf.shape(example.image)[:2]
    small = tf.maximum(tf.cast(tf.cast(sides, tf.float32) / factor, tf.int32), 1)
    spare = tf.cast(sides - small + 1, tf.float32)
    corner = tf.cast(spare * tf.random.stateless_uniform([2], seed), tf.int32)
    shrunk = resize.stretch(tf.cast(example.image, tf.float32), small) - _FILL
    rest = sides - small - corner
    padded = tf.pad(shrunk, [[corner[0], rest[0]], [corner[1], rest[1]], [0, 0]]) + _FILL
    whole, part, low = (tf.tile(tf.cast(each, tf.float32), [2]) for each in (sides, small, corner))
    image = tf.ensure_shape(tf.cast(tf.round(padded), example.image.dtype), example.image.shape)
    return Example(image, (example.boxes * part + low) / whole, example.classes)


def _cropped(example: Example, original_size: tf.Tensor, seed: tf.Tensor, input_size: int) -> Example:
    keep_seed, share_seed, crop_seed = tf.unstack(tf.random.split(seed, 3))
    share = tf.gather(_COVERED, tf.random.stateless_uniform([], share_seed, 0, len(_COVERED), tf.int32))
    window = geometry.sample_window(
        original_size, crop_seed, aspect_ratios=_ASPECT_RATIOS, areas=_AREAS, boxes=example.boxes, covered=share
    )
    window = tf.where(tf.random.stateless_uniform([], keep_seed) < _WHOLE, [0.0, 0.0, 1.0, 1.0], window)
    centres = (example.boxes[:, :2] + example.boxes[:, 2:]) / 2
    rows = tf.where(tf.reduce_all((centres >= window[:2]) & (centres <= window[2:]), axis=1))[:, 0]
    centred = Example(example.image, tf.gather(example.boxes, rows), tf.gather(example.classes, rows))
    return geometry.crop(centred, window, input_size)


def _recoloured(example: Example, seed: tf.Tensor) -> Example:
    drawn = tf.random.stateless_uniform([4, 2], seed)
    change = tf.where(drawn[:, 0] < 0.5, 2 * drawn[:, 1] - 1, 0.0) * [_HUE, _SATURATION, _CONTRAST, _BRIGHTNESS]
    hue, saturation, contrast, brightness = tf.unstack(change)
    image = colors.change(tf.cast(example.image, tf.float32), hue, 1 + saturation, 1 + contrast, brightness)
    return example._replace(image=tf.cast(tf.ensure_shape(image, example.image.shape), example.image.dtype))
