"""How well a model's anchors cover the boxes of a data set, and which size of anchors would cover them better."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset, side_percentiles
from tfod_transfer.model_spec import ModelSpec
from tfod_transfer.modeling import anchors

# An anchor learns a box when they overlap by this much (matched_threshold of the zoo's models).
MATCHING_IOU = 0.5
_SMALLER = 2.0 ** -np.arange(0.25, 1.01, 0.25)  # anchors of a level are half as large as those of the next
_WORTH_IT = 0.05  # share of the boxes, in the mean over classes, that other anchors have to win
_ALIKE = 0.02
_MOST_COMPARED = 20_000  # boxes


@dataclasses.dataclass(frozen=True)
class AnchorAdvice:
    """Another `anchor_scale`, the model's present one, and what the other would leave (see `AnchorFit`)."""

    anchor_scale: float
    present_scale: float
    unmatched_by_class: dict[str, float]


@dataclasses.dataclass(frozen=True)
class AnchorFit:
    """How well a model's anchors cover the boxes of a data set, at the size and shape at which the model sees them.

    Attributes:
      model_id: the model.
      input_size: pixels that its input is a square of.
      sides_px: the 5th, 50th and 95th percentile of the boxes' sides (square root of the area) at that input.
      boxes_compared: how many boxes were compared with the anchors.
      median_iou: half of the boxes overlap their best anchor by at least this much.
      share_unmatched: the share of boxes that no anchor overlaps by MATCHING_IOU.
      unmatched_by_class: the same for the boxes of each class that has some.
      advice: smaller anchors that leave far fewer boxes so; None where there are none.
    """

    model_id: str
    input_size: int
    sides_px: tuple[float, ...]
    boxes_compared: int
    median_iou: float
    share_unmatched: float
    unmatched_by_class: dict[str, float]
    advice: AnchorAdvice | None


def measure(dataset: DetectionDataset, spec: ModelSpec) -> AnchorFit | None:
    """Compares boxes with a model's anchors; None where there are no boxes."""
    if not dataset.num_boxes:
        return None
    rows = np.random.default_rng(0).permutation(dataset.num_boxes)[:_MOST_COMPARED]
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)
    sizes = dataset.sizes[image_of_box[rows]]
    padded = spec.resizer == "keep_aspect_ratio"
    share = sizes / sizes.max(axis=1, keepdims=True) if padded else np.ones(sizes.shape)
    boxes = dataset.boxes[rows] * np.tile(share, 2)
    best = anchors.best_overlaps(spec, boxes)
    classes = dataset.classes[rows]
    by_class = _unmatched_by_class(best, classes, dataset.class_names)
    return AnchorFit(
        model_id=spec.model_id,
        input_size=spec.input_size,
        sides_px=side_percentiles(boxes, spec.input_size),
        boxes_compared=len(rows),
        median_iou=round(float(np.median(best)), 3),
        share_unmatched=round(float((best < MATCHING_IOU).mean()), 4),
        unmatched_by_class=by_class,
        advice=_advice(spec, boxes, classes, dataset.class_names, by_class) if spec.scales_anchors else None,
    )


def _advice(
    spec: ModelSpec,
    boxes: npt.NDArray[np.float64],
    classes: npt.NDArray[np.int32],
    names: tuple[str, ...],
    present: dict[str, float],
) -> AnchorAdvice | None:
    """The largest of some smaller anchors that leaves about as few boxes, in the mean over classes, as any does."""
    scale = spec.structure.anchor_scale
    tried = {}
    for factor in _SMALLER.tolist():
        other = float(f"{scale * factor:.2g}")
        best = anchors.best_overlaps(spec.adapted(anchor_scale=other), boxes)
        tried[other] = _unmatched_by_class(best, classes, names)
    fewest = min(_mean(shares) for shares in tried.values())
    if _mean(present) - fewest < _WORTH_IT:
        return None
    largest = max(other for other, shares in tried.items() if _mean(shares) <= fewest + _ALIKE)
    return AnchorAdvice(largest, scale, tried[largest])


def _unmatched_by_class(
    best: npt.NDArray[np.float32], classes: npt.NDArray[np.int32], names: tuple[str, ...]
) -> dict[str, float]:
    present = np.unique(classes).tolist()
    return {names[row]: round(float((best[classes == row] < MATCHING_IOU).mean()), 4) for row in present}


def _mean(shares: dict[str, float]) -> float:
    return sum(shares.values()) / len(shares)


def sentence(fit: AnchorFit | None) -> str:
    """What smaller anchors would be better for, where some would; else nothing."""
    if fit is None or fit.advice is None:
        return ""
    before, after = fit.unmatched_by_class, fit.advice.unmatched_by_class
    worst = max(before, key=lambda name: before[name] - after[name])
    return (
        f"{_mean(before):.0%} of a class's boxes overlap no anchor by half, {before[worst]:.0%} of those of {worst!r}: "
        f"too small for anchors of scale {fit.advice.present_scale:g}; --anchor_scale {fit.advice.anchor_scale:g} "
        f"would leave {_mean(after):.0%}"
    )
