"""The augmentation preset `strong`, for every model: mirror, scale, colours, and mosaics of four images.

It is meant for few images, or for many epochs, where a network sees the preset `zoo` of each image often enough to know
it by heart.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfod_transfer.data import colors, geometry, resize
from tfod_transfer.data.geometry import Example, Photograph
from tfod_transfer.registry import ModelSpec

# Objects come in sizes that differ by a factor of three, as when a camera stands nearer or farther; the zoo's .1 to 2
# (large-scale jitter) pays in hundreds of epochs only (Ghiasi et al., "Simple Copy-Paste", 2021, section 4.1).
SCALES = (0.5, 1.5)
# A quarter of a mosaic is half as wide as the image: it shows all of a photograph at .5, the middle half of its area at
# .7, and objects in their own size at 1.
MOSAIC_SCALES = (0.5, 1.0)
MOSAIC_SHARE = 0.5  # of the images; the others keep what mosaics lack: large objects and whole scenes
MOSAIC_CENTRES = (0.35, 0.65)
KEPT_SHARE = 0.1  # of a box's area that must be seen; what shows less of an object cannot be named


def augment(
    load: Callable[[tf.Tensor, tf.Tensor], Photograph],
    row: tf.Tensor,
    draw_rows: Callable[[tf.Tensor, int], tf.Tensor],
    seed: tf.Tensor,
    spec: ModelSpec,
    max_boxes: int,
) -> Example:
    """Returns a changed photograph, or a mosaic of it and three others, as a square of the model's input size.

    A mosaic that shows more than `max_boxes` boxes gives way to the photograph alone: without some of its boxes it
    would teach that the objects in them are background.

    Args:
      load: gives, for a row of the data set and a seed int64 [2], the photograph; it has at most `max_boxes` boxes.
      row: int64 scalar.
      draw_rows: gives, for a seed int64 [2] and a number, that many random rows, int64 [number].
      seed: int64 [2].
      spec: the model.
      max_boxes: most boxes of the result.

    Returns:
      image uint8 [S, S, 3]; boxes float32 [n, 4] normalised by the square; classes int32 [n].
    """
    # Used for each part of a mosaic, but traced once.
    load = tf.function(load, autograph=False)
    show_part = tf.function(
        lambda photograph, size, scales, seed: show(photograph, size, scales, seed, spec), autograph=False
    )
    share_seed, alone_seed, mosaic_seed = _seeds(seed)

    def alone() -> Example:
        return show_part(load(row, alone_seed), tf.constant([spec.input_size] * 2), SCALES, alone_seed)

    def mosaic() -> Example:
        row_seed, turn_seed, part_seed = _mosaic_seeds(mosaic_seed)
        rows = tf.concat([row[tf.newaxis], draw_rows(row_seed, 3)], axis=0)
        rows = tf.roll(rows, tf.random.stateless_uniform([], turn_seed, 0, 4, tf.int32), 0)
        return join(
            lambda number, size, seed: show_part(load(rows[number], seed), size, MOSAIC_SCALES, seed), part_seed, spec
        )

    example: Example = tf.cond(_is_mosaic(share_seed), mosaic, alone)
    example = tf.cond(tf.size(example.classes) > max_boxes, alone, lambda: example)
    image = tf.ensure_shape(example.image, [spec.input_size, spec.input_size, 3])
    return geometry.keep_visible(Example(image, example.boxes, example.classes), spec.input_size)


def partners(draw_rows: Callable[[tf.Tensor, int], tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
    """Returns the rows, int64 [3], of the other photographs that `augment` loads with a seed; [0] without a mosaic."""
    share_seed, _, mosaic_seed = _seeds(seed)
    row_seed, _, _ = _mosaic_seeds(mosaic_seed)
    return draw_rows(row_seed, 3)[: tf.where(_is_mosaic(share_seed), 3, 0)]


def _seeds(seed: tf.Tensor) -> list[tf.Tensor]:
    """For the choice between the photograph alone and a mosaic, for the one, for the other."""
    return tf.unstack(tf.random.split(seed, 3))


def _is_mosaic(share_seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform([], share_seed) < MOSAIC_SHARE


def _mosaic_seeds(mosaic_seed: tf.Tensor) -> list[tf.Tensor]:
    """For the other photographs, for who is where, for the parts."""
    return tf.unstack(tf.random.split(mosaic_seed, 3))


def join(part_of: Callable[[int, tf.Tensor, tf.Tensor], Example], seed: tf.Tensor, spec: ModelSpec) -> Example:
    """Puts four parts around a random point: a mosaic.

    Bochkovskiy et al., "YOLOv4", 2020, section 3.3, where the parts have other scales.

    Args:
      part_of: makes part number 0..3 of a size, int32 [2], with a seed.
      seed: int64 [2].
      spec: the model.
    """
    centre_seed, *seeds = tf.unstack(tf.random.split(seed, 5))
    drawn = tf.random.stateless_uniform([2], centre_seed, *MOSAIC_CENTRES)
    centre = tf.cast(tf.round(drawn * spec.input_size), tf.int32)
    sides = tf.stack([centre, spec.input_size - centre])  # of the parts: [first and second, height and width]
    parts, boxes = [], []
    for number, (down, across) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        size = tf.stack([sides[down, 0], sides[across, 1]])
        part = part_of(number, size, seeds[number])
        corner = tf.tile(tf.cast(centre * [down, across], tf.float32), [2])
        parts.append(part)
        boxes.append((part.boxes * tf.tile(tf.cast(size, tf.float32), [2]) + corner) / spec.input_size)
    upper, lower = (tf.concat([left.image, right.image], axis=1) for left, right in (parts[:2], parts[2:]))
    classes = tf.concat([part.classes for part in parts], axis=0)
    return Example(tf.concat([upper, lower], axis=0), tf.concat(boxes, axis=0), classes)


def show(
    photograph: Photograph,
    size: tf.Tensor,
    scales: tuple[float, float],
    seed: tf.Tensor,
    spec: ModelSpec,
) -> Example:
    """Mirrors half of the photographs, changes size and colours, and shows a random part, or all at a random place.

    The sides of a photograph keep the ratio that they have in evaluation. What it does not fill has the colour of the
    padding in evaluation.

    Args:
      photograph: whole.
      size: int32 [2], height and width of the result in pixels.
      scales: lowest and highest scale; at 1 it has the size that it has in evaluation.
      seed: int64 [2].
      spec: the model.

    Returns:
      image uint8 [*size, 3]; boxes of which a tenth is seen, normalised by it.
    """
    # One draw for all, in place of a seed and a draw for each.
    mirror, scale, down, across, *drawn_colors = tf.unstack(tf.random.stateless_uniform([8], seed))
    example: Example = tf.cond(
        mirror < 0.5,
        lambda: geometry.flip_horizontally(*photograph, spec.input_size),
        lambda: photograph.example,
    )
    sides = tf.shape(example.image)[:2]
    scale = scales[0] + (scales[1] - scales[0]) * scale
    scaled = tf.maximum(tf.cast(tf.round(scale * tf.cast(sides, tf.float32)), tf.int32), 1)
    shown = tf.minimum(scaled, size)
    # Cut first, then stretch: no pixel is made that is not seen.
    extent = tf.clip_by_value(tf.cast(tf.round(sides * shown / scaled), tf.int32), 1, sides)
    place = tf.stack([down, across])
    low = tf.cast(tf.floor(place * tf.cast(sides - extent + 1, tf.float32)), tf.int32)
    corner = tf.cast(tf.floor(place * tf.cast(size - shown + 1, tf.float32)), tf.int32)
    piece = geometry.cut(example, low, low + extent, min_share=KEPT_SHARE)
    image = resize.to_uint8(
        colors.jitter(resize.stretch(tf.cast(piece.image, tf.float32), shown), tf.stack(drawn_colors))
    )
    boxes = piece.boxes * tf.tile(tf.cast(shown, tf.float32), [2]) + tf.tile(tf.cast(corner, tf.float32), [2])
    boxes = boxes / tf.tile(tf.cast(size, tf.float32), [2])
    return Example(_surround(image, corner, size, resize.padding_color(spec)), boxes, piece.classes)


def _surround(image: tf.Tensor, corner: tf.Tensor, size: tf.Tensor, color: list[float]) -> tf.Tensor:
    """Puts a uint8 image with its upper left corner, int32 [2], at a place of an empty one of `size`."""
    sides = tf.shape(image)[:2]
    after = size - corner - sides
    empty = resize.to_uint8(tf.constant(color))
    # Copies, in a quarter of the time of tf.pad, which pads all channels with one number.
    left, right = (tf.broadcast_to(empty, [sides[0], columns, 3]) for columns in (corner[1], after[1]))
    above, below = (tf.broadcast_to(empty, [rows, size[1], 3]) for rows in (corner[0], after[0]))
    return tf.concat([above, tf.concat([left, image, right], axis=1), below], axis=0)
