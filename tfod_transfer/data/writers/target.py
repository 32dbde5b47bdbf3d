"""What the writers of all formats share: names of files, numbers of boxes, copies of images, what cannot be held."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data import addresses, image_files
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.errors import DataError

_MAX_DECIMALS = 9
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to write.

    Attributes:
      image_prefix: what stands before image names in a manifest, for a place that images will be copied to; None: where
        they are written.
    """

    image_prefix: str | None = None


def file_names(dataset: DetectionDataset, *, flat: bool = False, unique_stems: bool = False) -> list[str]:
    """Names for the files of N images: those that they have, below the folder that they share, made unique.

    Args:
      dataset: the images.
      flat: without folders.
      unique_stems: without their endings they differ, too.
    """
    parsed = [addresses.parse(address) for address in dataset.image_paths]
    folders = [os.path.dirname(os.path.abspath(each.path)) for each in parsed if not each.segments]
    shared = os.path.commonpath(folders) if folders else ""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    names = []
    for address, each in zip(dataset.image_paths, parsed, strict=True):
        name = each.name if each.segments else os.path.relpath(os.path.abspath(each.path), shared)
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        stem, suffix = os.path.splitext(("_" if flat else "/").join(parts) or "image")
        if suffix.lower() not in (".jpg", ".jpeg", ".png"):
            with addresses.open_image(address) as file:
                stem, suffix = stem + suffix, _SUFFIXES.get(image_files.sniff(file.read(16)) or "", "")
        unique = stem
        while (key := (unique if unique_stems else unique + suffix).casefold()) in taken:
            numbers[stem] = numbers.get(stem, 1) + 1
            unique = f"{stem}_{numbers[stem]}"
        taken.add(key)
        names.append(unique + suffix)
    return names


def copy_images(dataset: DetectionDataset, names: Sequence[str], folder: pathlib.Path) -> None:
    """Copies the images of a data set to a folder."""
    for address, name in zip(dataset.image_paths, names, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if addresses.parse(address).segments:
            path.write_bytes(addresses.read(address))
        else:
            shutil.copyfile(address, path)


def corners_px(dataset: DetectionDataset) -> npt.NDArray[np.float64]:
    """Boxes as [xmin, ymin, xmax, ymax] in pixels, float64 [M, 4]: the shortest decimals that read as the same."""
    sides = _sides(dataset)
    boxes = dataset.boxes[:, [1, 0, 3, 2]]
    zero = np.zeros(len(boxes))
    return np.stack([_shortest(zero, boxes[:, i], sides[:, i]) for i in range(4)], axis=1)


def ltwh_px(dataset: DetectionDataset) -> npt.NDArray[np.float64]:
    """Boxes as [left, top, width, height] in pixels, float64 [M, 4]: the shortest decimals that read as the same."""
    sides = _sides(dataset)
    boxes = dataset.boxes[:, [1, 0, 3, 2]]
    low = corners_px(dataset)[:, :2]
    extent = np.stack([_shortest(low[:, i], boxes[:, 2 + i], sides[:, i]) for i in range(2)], axis=1)
    return np.concatenate([low, extent], axis=1)


def _sides(dataset: DetectionDataset) -> npt.NDArray[np.float64]:
    """Width, height, width, height of the image of each box, float64 [M, 4]."""
    return np.repeat(dataset.sizes[:, [1, 0, 1, 0]].astype(np.float64), dataset.boxes_per_image, axis=0)


def _shortest(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float32], sides: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How many pixels it is from `start`, in pixels, to `end`, a share of the side: [M], in as few digits as do."""
    exact = end * sides - start
    found, is_left = exact.copy(), np.ones(len(exact), np.bool_)
    for decimals in range(_MAX_DECIMALS):
        rounded = np.round(exact, decimals)
        fits = is_left & (((start + rounded) / sides).astype(np.float32) == end)
        found[fits] = rounded[fits]
        is_left &= ~fits
    return found


def in_whole_pixels(dataset: DetectionDataset) -> DetectionDataset:
    """Cuts off the fractions of left, top, width and height, as the published notebook does; sides stay over 0."""
    ltwh = np.floor(ltwh_px(dataset))
    ltwh[:, 2:] = np.maximum(ltwh[:, 2:], 1)
    boxes_xyxy_px = np.concatenate([ltwh[:, :2], ltwh[:, :2] + ltwh[:, 2:]], axis=1)
    boxes = (boxes_xyxy_px / _sides(dataset)).clip(0, 1).astype(np.float32)
    return dataclasses.replace(dataset, boxes=boxes[:, [1, 0, 3, 2]])


def plain(number: float) -> int | float:
    """A number without a needless fraction."""
    return int(number) if float(number).is_integer() else float(number)


def sagemaker_labels(dataset: DetectionDataset, image: int, ltwh: npt.NDArray[np.float64]) -> dict[str, Any]:
    """The boxes of an image as a label of SageMaker's in JSON; a crowd region has an extra key that says so."""
    height, width = dataset.sizes[image].tolist()
    rows = dataset.rows_of(image)
    annotations = []
    for class_id, crowd, box in zip(
        dataset.classes[rows].tolist(), dataset.is_crowd[rows].tolist(), ltwh[rows].tolist(), strict=True
    ):
        sides = zip(("left", "top", "width", "height"), map(plain, box), strict=True)
        annotations.append({"class_id": class_id, **dict(sides), **({"iscrowd": 1} if crowd else {})})
    return {"image_size": [{"width": width, "height": height, "depth": 3}], "annotations": annotations}


def classes_of(dataset: DetectionDataset, image: int) -> list[int]:
    """The classes that an image shows, in order."""
    classes: list[int] = np.unique(dataset.classes[dataset.rows_of(image)]).tolist()
    return classes


def are_in_order(category_ids: Sequence[int | str]) -> bool:
    """Whether classes of these ids are read in this order, where nothing else tells it."""
    return list(category_ids) == sorted(category_ids, key=lambda key: (isinstance(key, str), key))


def not_held_as_numbered(dataset: DetectionDataset, first: int = 0) -> list[str]:
    """What is lost where classes are numbered from `first`: a sentence, or nothing."""
    numbered = tuple(range(first, first + dataset.num_classes))
    if dataset.category_ids == numbered:
        return []
    shown = ", ".join(
        f"{key} is {number}" for key, number in list(zip(dataset.category_ids, numbered, strict=True))[:3]
    )
    return [f"category ids: classes are numbered from {first} ({shown}{', ...' if len(numbered) > 3 else ''})"]


def require_lines(names: Sequence[str]) -> None:
    """Refuses class names that cannot stand in a line of text.

    Raises:
      DataError: naming the first of them.
    """
    for name in names:
        if not name or name != name.strip() or not name.isprintable():
            raise DataError(f"the class name {name!r} cannot be written in this format: rename it")


def without_crowds(dataset: DetectionDataset) -> tuple[DetectionDataset, list[str]]:
    """A data set without its crowd regions, and a sentence about them if there are any."""
    count = int(dataset.is_crowd.sum())
    if not count:
        return dataset, []
    kept = np.concatenate([[0], np.cumsum(~dataset.is_crowd)])
    smaller = dataclasses.replace(
        dataset,
        boxes=dataset.boxes[~dataset.is_crowd],
        classes=dataset.classes[~dataset.is_crowd],
        is_crowd=dataset.is_crowd[~dataset.is_crowd],
        offsets=kept[dataset.offsets],
    )
    return smaller, [f"crowd regions: {count} boxes are left out"]
