"""What MXNet's multibox operators compute, in plain loops over one image: targets, hard negatives, detections."""

from __future__ import annotations

import numpy as np


def overlap(a: np.ndarray, b: np.ndarray) -> np.float32:
    height = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]))
    width = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]))
    both = height * width
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def matches(boxes: np.ndarray, classes: np.ndarray, anchors: np.ndarray) -> list[int]:
    """The row of the box that each anchor is to find; -1 for none."""
    rows = [row for row in range(len(boxes)) if classes[row] >= 0]
    table = {(j, row): overlap(boxes[row], anchors[j]) for j in range(len(anchors)) for row in rows}
    matched = [-1] * len(anchors)
    waiting = list(rows)
    while waiting:
        left = [(j, row) for j in range(len(anchors)) for row in waiting if matched[j] < 0 and table[j, row] > 1e-6]
        if not left:
            break
        anchor, row = max(left, key=lambda pair: table[pair])  # the first of equals
        matched[anchor] = row
        waiting.remove(row)
    for j in range(len(anchors)):
        if matched[j] < 0 and rows:
            best = max(rows, key=lambda row: table[j, row])
            matched[j] = best if table[j, best] > 0.5 else -1
    return matched


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def counted_anchors(logits: np.ndarray, classes: np.ndarray) -> list[int]:
    """The positives, and three times as many negatives of the lowest probability of background."""
    background = softmax(logits)[:, 0]
    positives = [j for j in range(len(classes)) if classes[j] >= 0]
    negatives = sorted((j for j in range(len(classes)) if classes[j] < 0), key=lambda j: background[j])
    return positives + negatives[: 3 * len(positives)]


def classification_loss(logits: np.ndarray, classes: np.ndarray) -> float:
    """Sum of the cross-entropy over the anchors that count."""
    probabilities = softmax(logits)
    return float(-sum(np.log(probabilities[j, classes[j] + 1]) for j in counted_anchors(logits, classes)))


def detections(
    boxes: np.ndarray, logits: np.ndarray, iou: float, topk: int, threshold: float
) -> list[tuple[float, int, int]]:
    """Rows (score, class, anchor), best first, of decoded boxes [A, 4]."""
    probabilities = softmax(logits)[:, 1:]
    found = [(probabilities[j].max(), int(probabilities[j].argmax()), j) for j in range(len(boxes))]
    found = sorted(found, key=lambda row: -row[0])[:topk]
    kept: list[tuple[float, int, int]] = []
    for score, label, j in found:
        rivals = [other for _, theirs, other in kept if theirs == label]
        if score > threshold and all(overlap(boxes[j], boxes[other]) <= iou for other in rivals):
            kept.append((score, label, j))
    return kept
