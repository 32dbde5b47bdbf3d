"""From encodings and logits to final boxes: one implementation for evaluation and export."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.modeling import box_coder
from tfod_transfer.modeling.detector import DetectorOutput
from tfod_transfer.registry import ModelSpec

MIN_SCORE = 1e-8
_MAX_PER_CLASS = 100
_CANDIDATES_PER_DETECTION = 10


class Detections(NamedTuple):
    """The best boxes of each image, highest score first, zero where there are fewer than N.

    Attributes:
      boxes: float32 [B, N, 4], normalised [ymin, xmin, ymax, xmax] in the image (its padding not counted).
      classes: int32 [B, N], 0..K-1.
      scores: float32 [B, N], 0..1.
      num_detections: int32 [B].
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    scores: tf.Tensor
    num_detections: tf.Tensor


def detect(
    output: DetectorOutput,
    anchors: npt.NDArray[np.float32],
    spec: ModelSpec,
    *,
    windows: tf.Tensor | None = None,
    max_detections: int = 100,
    score_threshold: float = MIN_SCORE,
    nms_iou: float | None = None,
) -> Detections:
    """Decodes, suppresses overlapping boxes class by class, clips to the image and keeps the best.

    The order of these steps is that of the Object Detection API's core/post_processing.py.

    Args:
      output: of a detector.
      anchors: float32 [A, 4] of that detector.
      spec: of that detector.
      windows: float32 [B, 4], the part [ymin, xmin, ymax, xmax] of each input that is image and not padding;
        None when all of it is.
      max_detections: N.
      score_threshold: only boxes above it.
      nms_iou: overlap with a better box of the same class above which a box goes; None for the model's own.
    """
    logits = tf.cast(output.class_logits, tf.float32)[..., int(spec.structure.background_slot) :]
    iou = spec.structure.nms_iou if nms_iou is None else nms_iou

    def best_of(encodings: tf.Tensor, scores: tf.Tensor, anchors: npt.NDArray[np.float32] | tf.Tensor) -> Detections:
        boxes = box_coder.decode(encodings, anchors, spec.structure.box_coder_scales)
        return _best(boxes, scores, windows, max_detections, score_threshold, iou)

    num_candidates = _CANDIDATES_PER_DETECTION * max_detections
    if len(anchors) <= num_candidates:
        return best_of(output.box_encodings, tf.sigmoid(logits), anchors)
    # A box is suppressed by better ones only. So where the anchors with the highest scores fill all places with boxes
    # that beat every other anchor's, the result is exact, and only few boxes are decoded and compared.
    ranked, rows = tf.math.top_k(tf.reduce_max(logits, axis=-1), num_candidates + 1)
    bar = tf.sigmoid(ranked[:, -1:])
    candidates = tf.sigmoid(tf.gather(logits, rows, batch_dims=1))
    first = best_of(
        tf.gather(output.box_encodings, rows, batch_dims=1),
        tf.where(candidates > bar[..., tf.newaxis], candidates, 0.0),
        tf.gather(tf.constant(anchors), rows),
    )
    exact = (first.num_detections == max_detections) | (bar[:, 0] <= score_threshold)
    detections: Detections = tf.cond(
        tf.reduce_all(exact), lambda: first, lambda: best_of(output.box_encodings, tf.sigmoid(logits), anchors)
    )
    return detections


def _best(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    windows: tf.Tensor | None,
    max_detections: int,
    score_threshold: float,
    iou: float,
) -> Detections:
    """See `detect`; boxes [B, A, 4] are decoded, scores [B, A, K] have no background."""
    per_class = max(_MAX_PER_CLASS, max_detections)
    # Boxes of no area go after clipping, so that all survivors are needed, not just the best `max_detections`.
    boxes, scores, classes, count = tf.image.combined_non_max_suppression(
        boxes[:, :, tf.newaxis],
        scores,
        max_output_size_per_class=per_class,
        max_total_size=per_class * scores.shape[-1],
        iou_threshold=iou,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    boxes = tf.clip_by_value(boxes, 0.0, 1.0) if windows is None else _in_window(boxes, windows[:, tf.newaxis])
    empty = tf.reduce_any(boxes[..., 2:] <= boxes[..., :2], axis=-1)
    kept = tf.sequence_mask(count, tf.shape(scores)[1]) & ~empty
    # Among equal scores top_k keeps the order.
    scores, order = tf.math.top_k(tf.where(kept, scores, -1.0), max_detections)
    count = tf.minimum(tf.reduce_sum(tf.cast(kept, tf.int32), axis=1), max_detections)
    present = tf.sequence_mask(count, max_detections)
    return Detections(
        boxes=tf.where(present[..., tf.newaxis], tf.gather(boxes, order, batch_dims=1), 0.0),
        classes=tf.where(present, tf.cast(tf.gather(classes, order, batch_dims=1), tf.int32), 0),
        scores=tf.where(present, scores, 0.0),
        num_detections=count,
    )


def _in_window(boxes: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    """Clips boxes [B, N, 4] to windows [B, 1, 4] and makes them relative to these."""
    low, high = tf.concat([windows[..., :2]] * 2, axis=-1), tf.concat([windows[..., 2:]] * 2, axis=-1)
    return (tf.clip_by_value(boxes, low, high) - low) / (high - low)
