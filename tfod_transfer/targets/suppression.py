"""`modeling.postprocessing.detect` for one image, in ops that every target has, with one non-max suppression."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


def detect(
    output: DetectorOutput,
    anchors: npt.NDArray[np.float32],
    spec: ModelSpec,
    content: tf.Tensor,
    options: DetectionOptions,
) -> dict[str, tf.Tensor]:
    """Decodes, suppresses overlapping boxes of a class, clips to the image and keeps the best.

    It differs from `postprocessing.detect` in two ways that AP does not see: the anchors with the highest scores alone
    compete, where that one goes on if they do not fill all places; and boxes compete as they are within four sides of
    the square around it.

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
    logits = output.class_logits[0, :, int(spec.structure.background_slot) :]
    num_candidates = min(CANDIDATES_PER_DETECTION * max(options.max_detections, MAX_DETECTIONS), len(anchors))
    _, rows = tf.math.top_k(tf.reduce_max(logits, axis=-1), num_candidates)
    scores = tf.sigmoid(tf.gather(logits, rows))
    boxes = box_coder.decode(
        tf.gather(output.box_encodings[0], rows),
        tf.gather(tf.constant(anchors), rows),
        spec.structure.box_coder_scales,
    )
    classes = tf.argmax(scores, axis=-1, output_type=tf.int32) if options.class_agnostic_nms else None
    if options.class_agnostic_nms:
        scores = tf.reduce_max(scores, axis=-1, keepdims=True)
    rivals = int(scores.shape[-1])
    # More than are wanted: those without area in the image go only now, as in `postprocessing.detect`.
    places = min(rivals, 2) * options.max_detections
    chosen, chosen_scores, count = tf.raw_ops.NonMaxSuppressionV5(
        boxes=_apart(boxes, rivals),
        scores=tf.reshape(scores, [-1]),
        max_output_size=places,
        iou_threshold=spec.structure.nms_iou if options.nms_iou is None else options.nms_iou,
        score_threshold=options.score_threshold,
        soft_nms_sigma=0.0,
        pad_to_max_output_size=True,
    )
    picked = chosen // rivals
    limits = tf.concat([content, content], axis=0)
    inside = tf.minimum(tf.maximum(tf.gather(boxes, picked), 0.0), limits) / limits
    sides = inside[:, 2:] - inside[:, :2]
    kept = (tf.range(places) < count) & (tf.reduce_min(sides, axis=-1) > 0)
    counted = tf.where(kept, chosen_scores, 0.0)
    # The values that top_k itself gives would be quantised: TensorFlow Lite's quantiser knows no name for the op.
    _, order = tf.math.top_k(counted, options.max_detections)
    best_scores = tf.gather(counted, order)
    best_classes = chosen % rivals if classes is None else tf.gather(classes, picked)
    present = tf.cast(best_scores > 0, tf.float32)
    return {
        "detection_boxes": (tf.gather(inside, order) * present[:, tf.newaxis])[tf.newaxis],
        "detection_classes": (tf.cast(tf.gather(best_classes, order), tf.float32) * present + 1.0)[tf.newaxis],
        "detection_scores": best_scores[tf.newaxis],
        "num_detections": tf.reduce_sum(present)[tf.newaxis],
    }


def _apart(boxes: tf.Tensor, rivals: int) -> tf.Tensor:
    """Boxes [M, 4] as those of each of `rivals` classes, in places of their own: [M * rivals, 4], classes innermost.

    The places are a grid and not a row, so that float32 still tells small boxes apart with many classes.
    """
    columns = math.ceil(math.sqrt(rivals))
    places: Sequence[Sequence[int]] = [[number // columns, number % columns] * 2 for number in range(rivals)]
    near = tf.minimum(tf.maximum(boxes, _LOW), _HIGH)
    return tf.reshape(near[:, tf.newaxis] + _APART * tf.constant(places, tf.float32), [-1, 4])
