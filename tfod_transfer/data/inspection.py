"""Measures a data set before anything is trained on it: what is in it, and what will be hard."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data import addresses, validation
from tfod_transfer.data.dataset import DetectionDataset

PERCENTILES = (5, 50, 95)
# An anchor learns a box when they overlap by this much (matched_threshold of the zoo's models).
MATCHING_IOU = 0.5
_SAMPLED_BOXES = 1000


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """How often a class occurs."""

    name: str
    category_id: int | str
    boxes: int
    images: int


@dataclasses.dataclass(frozen=True)
class AnchorFit:
    """How well a model's anchors cover the boxes of a data set.

    Attributes:
      model_id: the model.
      input_size: pixels that its input is a square of.
      sides_px: the 5th, 50th and 95th percentile of the boxes' sides (square root of the area) at that input.
      boxes_compared: how many boxes were compared with the anchors.
      median_iou: half of the boxes overlap their best anchor by at least this much.
      share_unmatched: the share of boxes that no anchor overlaps by MATCHING_IOU.
    """

    model_id: str
    input_size: int
    sides_px: tuple[float, ...]
    boxes_compared: int
    median_iou: float
    share_unmatched: float


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What `inspect` found in one data set.

    Attributes:
      description: where it is and how it was read.
      images: how many images can be used.
      negatives: how many of them have no box.
      boxes: how many boxes can be used.
      crowds: how many of them are crowd regions.
      image_sizes: (width, height) -> count, the most frequent first.
      classes: one for each class.
      sides_px: the 5th, 50th and 95th percentile of the boxes' sides in the images' own pixels.
      anchors: how a model's anchors fit; None where none was asked for.
      findings: {"reason (action)": count}.
      same_images: groups of files with the same content.
      same_boxes: how many boxes repeat another one of the same image and class.
    """

    description: str
    images: int
    negatives: int
    boxes: int
    crowds: int
    image_sizes: dict[str, int]
    classes: tuple[ClassCount, ...]
    sides_px: tuple[float, ...]
    anchors: AnchorFit | None
    findings: dict[str, int]
    same_images: list[list[str]]
    same_boxes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def measure(dataset: DetectionDataset, anchors: AnchorFit | None = None) -> Inspection:
    """Counts and measures a data set; reads image files only to compare those of equal length."""
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)
    box_counts = np.bincount(dataset.classes, minlength=dataset.num_classes)
    class_in_image = np.unique(dataset.classes * np.int64(len(dataset)) + image_of_box)
    image_counts = np.bincount(class_in_image // len(dataset), minlength=dataset.num_classes)
    named = zip(dataset.class_names, dataset.category_ids, box_counts.tolist(), image_counts.tolist(), strict=True)
    sizes = collections.Counter(f"{width} x {height}" for height, width in dataset.sizes.tolist())
    return Inspection(
        description=dataset.description,
        images=len(dataset),
        negatives=int((dataset.boxes_per_image == 0).sum()),
        boxes=dataset.num_boxes,
        crowds=int(dataset.is_crowd.sum()),
        image_sizes=dict(sizes.most_common()),
        classes=tuple(ClassCount(*values) for values in named),
        sides_px=_percentiles(_sides(dataset, dataset.sizes[image_of_box])),
        anchors=anchors,
        findings=validation.count_by_reason(dataset.findings),
        same_images=same_content(dataset.image_paths),
        same_boxes=_repeated_boxes(dataset, image_of_box),
    )


def fit_anchors(
    dataset: DetectionDataset, anchors: npt.NDArray[np.float32], model_id: str, input_size: int, keep_aspect_ratio: bool
) -> AnchorFit:
    """Compares boxes with anchors, at the size and shape at which the model sees them.

    Args:
      dataset: at least one box.
      anchors: float32 [A, 4], normalised [ymin, xmin, ymax, xmax].
      model_id: for the record.
      input_size: side of the model's square input in pixels.
      keep_aspect_ratio: whether images are padded to the square rather than stretched.
    """
    sizes = dataset.sizes[np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)]
    share = sizes / sizes.max(axis=1, keepdims=True) if keep_aspect_ratio else np.ones(sizes.shape)
    boxes = dataset.boxes * np.tile(share, 2)
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])) * input_size
    rows = np.random.default_rng(0).permutation(len(boxes))[:_SAMPLED_BOXES]
    best = _best_iou(boxes[rows].astype(np.float32), anchors.astype(np.float32))
    return AnchorFit(
        model_id=model_id,
        input_size=input_size,
        sides_px=_percentiles(sides),
        boxes_compared=len(rows),
        median_iou=round(float(np.median(best)), 3),
        share_unmatched=round(float((best < MATCHING_IOU).mean()), 4),
    )


def same_content(paths: Sequence[str]) -> list[list[str]]:
    """Groups of files with the same bytes."""
    by_length: dict[int, list[str]] = collections.defaultdict(list)
    for path in paths:
        by_length[addresses.size(path)].append(path)
    suspects = [path for group in by_length.values() if len(group) > 1 for path in group]
    by_digest: dict[bytes, list[str]] = collections.defaultdict(list)
    with futures.ThreadPoolExecutor() as pool:
        for path, digest in zip(suspects, pool.map(_digest, suspects), strict=True):
            by_digest[digest].append(path)
    return [group for group in by_digest.values() if len(group) > 1]


def in_both(training: Sequence[str], held_out: Sequence[str]) -> list[list[str]]:
    """Groups of files of the same content that are in both lists: measuring on them flatters."""
    groups = same_content([*training, *held_out])
    return [group for group in groups if set(group) & set(training) and set(group) & set(held_out)]


def choose_images(dataset: DetectionDataset, count: int) -> list[int]:
    """Picks images to look at: every class once, rare ones first, then others at random (always the same)."""
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)
    by_class = [image_of_box[dataset.classes == row] for row in range(dataset.num_classes)]
    first = [int(images[0]) for images in sorted(by_class, key=len) if len(images)]
    others = np.random.default_rng(0).permutation(len(dataset)).tolist()
    return list(dict.fromkeys([*first[:count], *others]))[:count]


def _sides(dataset: DetectionDataset, sizes: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    extent = (dataset.boxes[:, 2:] - dataset.boxes[:, :2]) * sizes
    sides: npt.NDArray[np.float64] = np.sqrt(extent.prod(axis=1, dtype=np.float64))
    return sides


def _percentiles(values: Iterable[float]) -> tuple[float, ...]:
    values = np.asarray(values)
    return tuple(round(float(value), 1) for value in np.percentile(values, PERCENTILES)) if len(values) else ()


def _best_iou(boxes: npt.NDArray[np.float32], anchors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The IoU of each box with its best anchor: float32 [N]."""
    ymin, xmin, ymax, xmax = np.ascontiguousarray(anchors.T)
    areas = (ymax - ymin) * (xmax - xmin)
    best = np.empty(len(boxes), np.float32)
    for row, box in enumerate(boxes):
        height = (np.minimum(ymax, box[2]) - np.maximum(ymin, box[0])).clip(0)
        shared = height * (np.minimum(xmax, box[3]) - np.maximum(xmin, box[1])).clip(0)
        best[row] = (shared / (areas + (box[2] - box[0]) * (box[3] - box[1]) - shared)).max()
    return best


def _repeated_boxes(dataset: DetectionDataset, image_of_box: npt.NDArray[np.int64]) -> int:
    keys = np.concatenate([image_of_box[:, None], dataset.classes[:, None], dataset.boxes], axis=1)
    return len(keys) - len(np.unique(keys, axis=0))


def _digest(path: str) -> bytes:
    return hashlib.blake2b(addresses.read(path), digest_size=16).digest()
