"""`modeling.postprocessing.detect` for one image, in ops that every target has, with one non-max suppression."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.detection_options import MAX_DETECTIONS, DetectionOptions
from tfod_transfer.modeling import box_coder
from tfod_transfer.modeling.detector import DetectorOutput
from tfod_transfer.registry import ModelSpec

CANDIDATES_PER_DETECTION = 20
# Boxes are compared as far as they lie within this: a box of one class never meets a box of another.
_LOW, _HIGH = -4.0, 5.0
_APART = 10.0


class _Candidates(NamedTuple):
    """Boxes as one class each: rows [P] of the decoded boxes, classes int32 [P], scores float32 [P]."""

    rows: tf.Tensor
    classes: tf.Tensor
    scores: tf.Tensor


def detect(
    output: DetectorOutput,
    anchors: npt.NDArray[np.float32],
    spec: ModelSpec,
    content: tf.Tensor,
    options: DetectionOptions,
) -> dict[str, tf.Tensor]:
    """Decodes, suppresses overlapping boxes, clips to the image and keeps the best.

    It differs from `postprocessing.detect` in two ways that AP does not see: where classes do not exclude each other,
    the anchors with the highest scores alone compete, and that one goes on if they do not fill all places; and boxes
    compete as they are within four sides of the square around it.

    Args:
      output: of a detector, for one image.
      anchors: float32 [A, 4] of that detector.
      spec: of that detector.
      content: float32 [2], the height and width of the part of the square that is image.
      options: how detections are picked.

    Returns:
      detection_boxes [1, N, 4] (ymin, xmin, ymax, xmax; normalised by the image), detection_classes [1, N] (1-based),
      detection_scores [1, N] (highest first, 0 at padding), num_detections [1]; all float32.
    """
    logits, encodings = output.class_logits[0], output.box_encodings[0]
    exclusive = spec.structure.classification == "softmax"
    evidence = tf.nn.softmax(logits)[:, 1:] if exclusive else logits[:, int(spec.structure.background_slot) :]
    # Of top_k the indices alone: TensorFlow Lite's quantiser knows no name for it, and would quantise its values.
    _, rows = tf.math.top_k(tf.reduce_max(evidence, axis=-1), _num_candidates(len(anchors), spec, options))
    scores = tf.gather(evidence, rows)
    candidates = _candidates(scores if exclusive else tf.sigmoid(scores), exclusive or options.class_agnostic_nms)
    boxes = box_coder.decode(
        tf.gather(encodings, rows), tf.gather(tf.constant(anchors), rows), spec.structure.box_coder_scales
    )
    num_classes, apart = int(evidence.shape[-1]), not options.class_agnostic_nms
    rivals = tf.gather(tf.minimum(tf.maximum(boxes, _LOW), _HIGH), candidates.rows)
    # More than are wanted: those without area in the image go only now, as in `postprocessing.detect`.
    places = min(num_classes if apart else 1, 2) * max(options.max_detections, MAX_DETECTIONS)
    chosen, chosen_scores, count = tf.raw_ops.NonMaxSuppressionV5(
        boxes=rivals + tf.gather(_places(num_classes), candidates.classes) if apart else rivals,
        scores=candidates.scores,
        max_output_size=places,
        iou_threshold=spec.structure.nms_iou if options.nms_iou is None else options.nms_iou,
        score_threshold=options.score_threshold,
        soft_nms_sigma=0.0,
        pad_to_max_output_size=True,
    )
    limits = tf.concat([content, content], axis=0)
    picked = tf.gather(boxes, tf.gather(candidates.rows, chosen))
    inside = tf.minimum(tf.maximum(picked, 0.0), limits) / limits
    sides = inside[:, 2:] - inside[:, :2]
    kept = (tf.range(places) < count) & (tf.reduce_min(sides, axis=-1) > 0)
    counted = tf.where(kept, chosen_scores, 0.0)
    _, order = tf.math.top_k(counted, options.max_detections)
    best_scores, best_classes = tf.gather(counted, order), tf.gather(tf.gather(candidates.classes, chosen), order)
    present = tf.cast(best_scores > 0, tf.float32)
    return {
        "detection_boxes": (tf.gather(inside, order) * present[:, tf.newaxis])[tf.newaxis],
        "detection_classes": (tf.cast(best_classes, tf.float32) * present + 1.0)[tf.newaxis],
        "detection_scores": best_scores[tf.newaxis],
        "num_detections": tf.reduce_sum(present)[tf.newaxis],
    }


def _num_candidates(num_anchors: int, spec: ModelSpec, options: DetectionOptions) -> int:
    """How many anchors compete."""
    if spec.structure.classification == "softmax":
        return min(options.nms_topk or spec.structure.nms_topk or num_anchors, num_anchors)
    return min(CANDIDATES_PER_DETECTION * max(options.max_detections, MAX_DETECTIONS), num_anchors)


def _candidates(scores: tf.Tensor, best_class_only: bool) -> _Candidates:
    """Boxes with scores [M, K], each as its best class, or each as every class."""
    num_boxes, num_classes = scores.shape
    if best_class_only:
        return _Candidates(
            tf.range(num_boxes), tf.argmax(scores, axis=-1, output_type=tf.int32), tf.reduce_max(scores, axis=-1)
        )
    pairs = np.indices((num_boxes, num_classes), np.int32).reshape(2, -1)
    return _Candidates(tf.constant(pairs[0]), tf.constant(pairs[1]), tf.reshape(scores, [-1]))


def _places(num_classes: int) -> tf.Tensor:
    """Where boxes of each class are moved to, float32 [K, 4]: TensorFlow Lite's non-max suppression has no classes.

    The places are a grid and not a row, so that float32 still tells small boxes apart with many classes.
    """
    columns = math.ceil(math.sqrt(num_classes))
    return _APART * tf.constant(
        [[number // columns, number % columns] * 2 for number in range(num_classes)], tf.float32
    )
