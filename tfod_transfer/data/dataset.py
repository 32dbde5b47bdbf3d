"""A detection data set as columns: what every format reader returns and everything downstream takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing in the data that was left out or put right, and why.

    Attributes:
      reason: short machine-readable kind, e.g. "zero_area_box", "missing_image" (see data/validation.py).
      file: the annotation or image file it is about.
      annotation_index: position in the file's annotation list; None when the finding is about an image.
      value: the offending value as found (a bbox, a size, a category id), or None.
      action: "dropped" (left out), "clipped", "reordered" (corners exchanged), "converted" (moved from another frame of
        the picture), "merged" (with another record) or "noted" (kept as it is).
      message: one sentence for a person.
    """

    reason: str
    file: str
    message: str
    annotation_index: int | None = None
    value: Any = None
    action: str = "dropped"


@dataclasses.dataclass(frozen=True)
class DetectionDataset:
    """N images with M boxes of K classes, in columns.

    Boxes of image i are rows `offsets[i]:offsets[i + 1]` of `boxes`, `classes` and `is_crowd`.

    Attributes:
      image_paths: N addresses of images (data/addresses.py): paths of files, or parts of files.
      image_ids: N identifiers as the annotation file gives them.
      sizes: int32 [N, 2], (height, width) in pixels of the upright image.
      orientations: uint8 [N], EXIF orientation (1..8) to apply after decoding; 1 is upright already.
      boxes: float32 [M, 4], normalised [ymin, xmin, ymax, xmax] in the upright image.
      classes: int32 [M], 0..K-1, no background.
      is_crowd: bool [M], COCO crowd regions: not trained on, ignored by the metrics.
      offsets: int64 [N + 1].
      class_names: K names; the category id as text where the file gives no name.
      category_ids: K category ids as the file gives them (int or str), in class order.
      findings: everything left out or put right while reading.
      description: one line on where this came from and how it was read (format, box order).
    """

    image_paths: Sequence[str]
    image_ids: Sequence[int | str]
    sizes: npt.NDArray[np.int32]
    orientations: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    is_crowd: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    category_ids: tuple[int | str, ...]
    findings: tuple[Finding, ...] = ()
    description: str = ""

    def __len__(self) -> int:
        return len(self.image_paths)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def num_boxes(self) -> int:
        return len(self.boxes)

    @property
    def boxes_per_image(self) -> npt.NDArray[np.int64]:
        """int64 [N], the number of boxes of each image."""
        return np.diff(self.offsets)

    def rows_of(self, image: int) -> slice:
        """The rows of `boxes`, `classes` and `is_crowd` that belong to image number `image`."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))

    def select(self, images: Sequence[int] | npt.NDArray[np.int64]) -> DetectionDataset:
        """Returns the data set of these images, in this order; classes and findings stay."""
        images = np.asarray(images, np.int64)
        counts = self.boxes_per_image[images]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.repeat(self.offsets[images] - offsets[:-1], counts) + np.arange(offsets[-1])
        return dataclasses.replace(
            self,
            image_paths=[self.image_paths[i] for i in images],
            image_ids=[self.image_ids[i] for i in images],
            sizes=self.sizes[images],
            orientations=self.orientations[images],
            boxes=self.boxes[rows],
            classes=self.classes[rows],
            is_crowd=self.is_crowd[rows],
            offsets=offsets,
        )


def side_percentiles(boxes: npt.NDArray[Any], sizes: npt.NDArray[Any] | int) -> tuple[float, ...]:
    """The 5th, 50th and 95th percentile of the boxes' sides (square root of the area) in pixels; () without boxes.

    Args:
      boxes: float [M, 4], normalised [ymin, xmin, ymax, xmax].
      sizes: [M, 2], height and width of each box's image in pixels, or the side of square ones.
    """
    if not len(boxes):
        return ()
    sides = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) * sizes).prod(axis=1, dtype=np.float64))
    return tuple(round(float(value), 1) for value in np.percentile(sides, (5, 50, 95)))
