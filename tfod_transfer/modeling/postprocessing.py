"""From encodings and logits to final boxes: one implementation for evaluation and export."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.detection_options import MAX_DETECTIONS, MIN_SCORE
from tfod_transfer.modeling import box_coder
from tfod_transfer.modeling.detector import DetectorOutput
from tfod_transfer.registry import ModelSpec

_MAX_PER_CLASS = 100
_CANDIDATES_PER_DETECTION = 10


class Detections(NamedTuple):
    """The best boxes of each image, highest score first, zero where there are fewer than N.

    Attributes:
      boxes: float32 [B, N, 4], normalised [ymin, xmin, ymax, xmax] in the image (its padding not counted).
      classes: int32 [B, N], 0..K-1.
      scores: float32 [B, N], 0..1.
      num_detections: int32 [B].
      anchors: int32 [B, N], which anchor each box comes from; None unless asked for.
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    scores: tf.Tensor
    num_detections: tf.Tensor
    anchors: tf.Tensor | None = None


def slot_scores(class_logits: tf.Tensor, spec: ModelSpec) -> tf.Tensor:
    """What the class logits [..., slots] of a model say as scores from 0 to 1, background included where it is one."""
    return tf.nn.softmax(class_logits) if spec.structure.classification == "softmax" else tf.sigmoid(class_logits)


def detect(
    output: DetectorOutput,
    anchors: npt.NDArray[np.float32],
    spec: ModelSpec,
    *,
    windows: tf.Tensor | None = None,
    max_detections: int = MAX_DETECTIONS,
    score_threshold: float = MIN_SCORE,
    nms_iou: float | None = None,
    class_agnostic_nms: bool = False,
    nms_topk: int | None = None,
    with_anchors: bool = False,
) -> Detections:
    """Decodes, suppresses overlapping boxes, clips to the image and keeps the best.

    The order of these steps is that of the Object Detection API's core/post_processing.py. Where classes exclude each
    other ("softmax"), a box is of its best class only, and only the best `nms_topk` boxes are looked at, as in MXNet's
    multibox_detection.cc.

    Args:
      output: of a detector.
      anchors: float32 [A, 4] of that detector.
      spec: of that detector.
      windows: float32 [B, 4], the part [ymin, xmin, ymax, xmax] of each input that is image and not padding;
        None when all of it is.
      max_detections: N.
      score_threshold: only boxes above it.
      nms_iou: overlap with a better box above which a box goes; None for the model's own.
      class_agnostic_nms: a box goes for a better one of any class, and is of its best class; else for a better one of
        the same class, and may be there with several.
      nms_topk: how many boxes are looked at where classes exclude each other; None for the model's own number.
      with_anchors: also tell the anchor of each box.
    """
    exclusive = spec.structure.classification == "softmax"
    iou = spec.structure.nms_iou if nms_iou is None else nms_iou

    def best_of(encodings: tf.Tensor, scores: tf.Tensor, anchors: npt.NDArray[np.float32] | tf.Tensor) -> Detections:
        boxes = box_coder.decode(encodings, anchors, spec.structure.box_coder_scales)
        if class_agnostic_nms:
            return _best_of_any_class(boxes, scores, windows, max_detections, score_threshold, iou)
        most = boxes.shape[1] if exclusive else None
        return _best(boxes, scores, windows, max_detections, score_threshold, iou, with_anchors, most)

    if exclusive:
        return _of_best_classes(output, anchors, nms_topk or spec.structure.nms_topk, best_of)
    logits = tf.cast(output.class_logits, tf.float32)[..., int(spec.structure.background_slot) :]
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
    first = _with_anchors_of(rows, first)
    exact = (first.num_detections == max_detections) | (bar[:, 0] <= score_threshold)
    kept = len(first) - (first.anchors is None)  # a branch of tf.cond cannot give None
    detections = tf.cond(
        tf.reduce_all(exact),
        lambda: tuple(first[:kept]),
        lambda: tuple(best_of(output.box_encodings, tf.sigmoid(logits), anchors)[:kept]),
    )
    return Detections(*detections)


def _of_best_classes(
    output: DetectorOutput,
    anchors: npt.NDArray[np.float32],
    topk: int,
    best_of: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Detections],
) -> Detections:
    """The best of the `topk` anchors (0: of all) that are surest of a class, each as one of its class; see `detect`."""
    scores = tf.nn.softmax(tf.cast(output.class_logits, tf.float32))[..., 1:]
    num_anchors, num_classes = len(anchors), scores.shape[-1]
    _, rows = tf.math.top_k(tf.reduce_max(scores, axis=-1), min(topk or num_anchors, num_anchors))
    scores = tf.gather(scores, rows, batch_dims=1)
    own = tf.one_hot(tf.argmax(scores, axis=-1), num_classes)
    found = best_of(
        tf.gather(output.box_encodings, rows, batch_dims=1), scores * own, tf.gather(tf.constant(anchors), rows)
    )
    return _with_anchors_of(rows, found)


def _with_anchors_of(rows: tf.Tensor, found: Detections) -> Detections:
    """Detections among chosen anchors, rows [B, C], as detections among all."""
    if found.anchors is None:
        return found
    present = tf.sequence_mask(found.num_detections, tf.shape(found.scores)[1])
    return found._replace(anchors=tf.where(present, tf.gather(rows, found.anchors, batch_dims=1), 0))


def _best(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    windows: tf.Tensor | None,
    max_detections: int,
    score_threshold: float,
    iou: float,
    with_anchors: bool,
    most: int | None = None,
) -> Detections:
    """See `detect`; boxes [B, A, 4] are decoded, scores [B, A, K] have no background.

    `most` is how many can be left after suppression, where that is known.
    """
    per_class = max(_MAX_PER_CLASS, max_detections)
    # Boxes of no area go after clipping, so that all survivors are needed, not just the best `max_detections`.
    survivors, survivor_scores, classes, count = tf.image.combined_non_max_suppression(
        boxes[:, :, tf.newaxis],
        scores,
        max_output_size_per_class=per_class,
        max_total_size=max(most or per_class * scores.shape[-1], max_detections),
        iou_threshold=iou,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    inside = tf.clip_by_value(survivors, 0.0, 1.0) if windows is None else _in_window(survivors, windows[:, tf.newaxis])
    empty = tf.reduce_any(inside[..., 2:] <= inside[..., :2], axis=-1)
    kept = tf.sequence_mask(count, tf.shape(survivor_scores)[1]) & ~empty
    # Among equal scores top_k keeps the order.
    best_scores, order = tf.math.top_k(tf.where(kept, survivor_scores, -1.0), max_detections)
    count = tf.minimum(tf.reduce_sum(tf.cast(kept, tf.int32), axis=1), max_detections)
    present = tf.sequence_mask(count, max_detections)
    best_classes = tf.where(present, tf.cast(tf.gather(classes, order, batch_dims=1), tf.int32), 0)
    rows = None
    if with_anchors:
        best = tf.gather(survivors, order, batch_dims=1)
        rows = tf.where(present, _rows(best, best_scores, best_classes, boxes, scores), 0)
    return Detections(
        boxes=tf.where(present[..., tf.newaxis], tf.gather(inside, order, batch_dims=1), 0.0),
        classes=best_classes,
        scores=tf.where(present, best_scores, 0.0),
        num_detections=count,
        anchors=rows,
    )


def _best_of_any_class(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    windows: tf.Tensor | None,
    max_detections: int,
    score_threshold: float,
    iou: float,
) -> Detections:
    """The same where all boxes compete, each as one of its best class; always with anchors."""
    best = tf.reduce_max(scores, axis=-1, keepdims=True)
    found = _best(boxes, best, windows, max_detections, score_threshold, iou, with_anchors=True)
    classes = tf.gather(tf.argmax(scores, axis=-1, output_type=tf.int32), found.anchors, batch_dims=1)
    return found._replace(classes=tf.where(found.scores > 0, classes, 0))


def _rows(
    best: tf.Tensor, best_scores: tf.Tensor, best_classes: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor
) -> tf.Tensor:
    """Where boxes [B, N, 4] with scores and classes [B, N] are among boxes [B, A, 4] with scores [B, A, K]: [B, N].

    TensorFlow's suppression gives copies of boxes, and not where they were.
    """
    same = tf.gather(scores, best_classes, axis=2, batch_dims=1) == best_scores[:, tf.newaxis]
    for side in range(4):
        same &= boxes[:, :, tf.newaxis, side] == best[:, tf.newaxis, :, side]
    return tf.argmax(tf.cast(same, tf.uint8), axis=1, output_type=tf.int32)


def _in_window(boxes: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    """Clips boxes [B, N, 4] to windows [B, 1, 4] and makes them relative to these."""
    low, high = tf.concat([windows[..., :2]] * 2, axis=-1), tf.concat([windows[..., 2:]] * 2, axis=-1)
    return (tf.clip_by_value(boxes, low, high) - low) / (high - low)
