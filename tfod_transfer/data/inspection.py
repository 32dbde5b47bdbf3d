"""Measures a data set before anything is trained on it: what is in it, and what will be hard."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Sequence
from concurrent import futures
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data import addresses, validation
from tfod_transfer.data.dataset import DetectionDataset, side_percentiles
from tfod_transfer.modeling.anchor_fit import AnchorFit


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """How often a class occurs."""

    name: str
    category_id: int | str
    boxes: int
    images: int


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
        sides_px=side_percentiles(dataset.boxes, dataset.sizes[image_of_box]),
        anchors=anchors,
        findings=validation.count_by_reason(dataset.findings),
        same_images=same_content(dataset.image_paths),
        same_boxes=_repeated_boxes(dataset, image_of_box),
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


def _repeated_boxes(dataset: DetectionDataset, image_of_box: npt.NDArray[np.int64]) -> int:
    keys = np.concatenate([image_of_box[:, None], dataset.classes[:, None], dataset.boxes], axis=1)
    return len(keys) - len(np.unique(keys, axis=0))


def _digest(path: str) -> bytes:
    return hashlib.blake2b(addresses.read(path), digest_size=16).digest()
