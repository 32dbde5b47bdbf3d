"""Which anchor is to find which ground-truth box."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.modeling import box_coder
from tfod_transfer.registry import ModelSpec

_POSITIVE_IOU = 0.5
_LEAST_IOU = 1e-6  # of a pair that is made whatever the threshold is


class Targets(NamedTuple):
    """What a detector should say of each anchor.

    Attributes:
      classes: int32 [B, A], the class in 0..K-1; -1 for an anchor that should find nothing.
      box_encodings: float32 [B, A, 4], zero where there is nothing to find.
      matches: int32 [B, A], row of the ground truth; -1 for none.
    """

    classes: tf.Tensor
    box_encodings: tf.Tensor
    matches: tf.Tensor


def assign(boxes: tf.Tensor, classes: tf.Tensor, anchors: npt.NDArray[np.float32], spec: ModelSpec) -> Targets:
    """Assigns ground truth to anchors: overlap of at least a half, and every box gets its best anchor in any case.

    An anchor takes the box that it overlaps most (the first of equals). There is no band of ignored anchors. Where
    several boxes have the same best anchor, models of the Object Detection API (matchers/argmax_matcher.py) give it to
    the first; those with `classification` softmax (MXNet's multibox_target.cc) to the one that overlaps it most, and
    the others their best of what is left; theirs is also an overlap of more than a half.

    Args:
      boxes: float32 [B, M, 4], normalised [ymin, xmin, ymax, xmax] in the network's input.
      classes: int32 [B, M] in 0..K-1; a negative class is padding and has no effect.
      anchors: float32 [A, 4].
      spec: whose box coding it is.
    """
    one_to_one = spec.structure.classification == "softmax"
    # One image at a time: the overlaps [m, A] of its real boxes stay in the processor's cache, whatever M is.
    matches = tf.map_fn(
        lambda truth: _match(truth[0], truth[1] >= 0, tf.constant(anchors), one_to_one),
        (boxes, classes),
        fn_output_signature=tf.TensorSpec([len(anchors)], tf.int32),
    )
    matched = matches >= 0
    rows = tf.maximum(matches, 0)
    encodings = box_coder.encode(tf.gather(boxes, rows, batch_dims=1), anchors, spec.structure.box_coder_scales)
    return Targets(
        classes=tf.where(matched, tf.gather(classes, rows, batch_dims=1), -1),
        box_encodings=tf.where(matched[..., tf.newaxis], encodings, 0.0),
        matches=matches,
    )


def _match(boxes: tf.Tensor, valid: tf.Tensor, anchors: tf.Tensor, one_to_one: bool) -> tf.Tensor:
    """The row of the box that each anchor is to find, int32 [A], -1 for none; boxes [M, 4], valid [M]."""
    rows = tf.where(valid)[:, 0]
    overlaps = _iou(tf.gather(boxes, rows), anchors)
    num_boxes, num_anchors = tf.shape(overlaps)[0], anchors.shape[0]
    # Above the threshold there are few pairs, so that the rest works on lists of pairs instead of the whole matrix.
    pairs = tf.where(overlaps > _POSITIVE_IOU if one_to_one else overlaps >= _POSITIVE_IOU)
    values = tf.gather_nd(overlaps, pairs)
    best = tf.math.unsorted_segment_max(values, pairs[:, 1], num_anchors)
    winners = tf.boolean_mask(pairs, values == tf.gather(best, pairs[:, 1]))
    matches = tf.math.unsorted_segment_min(winners[:, 0], winners[:, 1], num_anchors)
    best_of_box = _distinct_anchors(overlaps) if one_to_one else tf.argmax(overlaps, axis=1)
    forced = tf.math.unsorted_segment_min(tf.range(num_boxes, dtype=tf.int64), best_of_box, num_anchors)
    none = tf.int64.max  # what a segment without entries has
    matches = tf.where(forced < none, forced, matches)
    found = matches < none
    # With no box at all there is no row to gather either.
    rows = tf.concat([rows, [-1]], axis=0)
    return tf.cast(tf.gather(rows, tf.where(found, matches, tf.cast(num_boxes, tf.int64))), tf.int32)


def _distinct_anchors(overlaps: tf.Tensor) -> tf.Tensor:
    """An anchor for each box, no anchor for two: int64 [m] from overlaps [m, A]; -1 where none is left that overlaps.

    Of all pairs that are left the one of the highest overlap is made, again and again.
    """
    num_boxes, num_anchors = tf.shape(overlaps)[0], overlaps.shape[1]

    def step(
        bounds: tf.Tensor, candidates: tf.Tensor, chosen: tf.Tensor, taken: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        # What a box could have is at most what it had before anchors were taken: only the box at the top is looked at.
        row = tf.argmax(bounds)
        anchor = candidates[row]

        def pair() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
            return (
                tf.tensor_scatter_nd_update(bounds, [[row]], [-1.0]),
                candidates,
                tf.tensor_scatter_nd_update(chosen, [[row]], [anchor]),
                tf.tensor_scatter_nd_update(taken, [[anchor]], [True]),
            )

        def look_again() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
            left = tf.where(taken, -1.0, overlaps[row])
            return (
                tf.tensor_scatter_nd_update(bounds, [[row]], [tf.reduce_max(left)]),
                tf.tensor_scatter_nd_update(candidates, [[row]], [tf.argmax(left)]),
                chosen,
                taken,
            )

        return tf.cond(taken[anchor], look_again, pair)

    state = (
        tf.reduce_max(overlaps, axis=1),
        tf.argmax(overlaps, axis=1),
        tf.fill([num_boxes], tf.constant(-1, tf.int64)),
        tf.zeros([num_anchors], tf.bool),
    )
    *_, chosen, _ = tf.while_loop(lambda bounds, *_: tf.reduce_any(bounds > _LEAST_IOU), step, state)
    return chosen


def _iou(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Intersection over union of boxes [m, 4] and anchors [A, 4]: float32 [m, A]."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes[:, tf.newaxis], axis=-1)
    anchor_ymin, anchor_xmin, anchor_ymax, anchor_xmax = tf.unstack(anchors, axis=-1)
    height = tf.nn.relu(tf.minimum(ymax, anchor_ymax) - tf.maximum(ymin, anchor_ymin))
    width = tf.nn.relu(tf.minimum(xmax, anchor_xmax) - tf.maximum(xmin, anchor_xmin))
    intersection = height * width
    areas = (ymax - ymin) * (xmax - xmin)
    anchor_areas = (anchor_ymax - anchor_ymin) * (anchor_xmax - anchor_xmin)
    return tf.math.divide_no_nan(intersection, areas + anchor_areas - intersection)
