"""Writes `images/` and `annotations.json`: SageMaker's form (corners) and COCO's (corner and size)."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats.places import ANNOTATIONS, IMAGES
from tfod_transfer.data.writers import target
from tfod_transfer.data.writers.target import Settings


def write_sagemaker(dataset: DetectionDataset, folder: pathlib.Path, settings: Settings) -> list[str]:
    """Writes boxes as [xmin, ymin, xmax, ymax]; holds all but an order of classes that their ids do not have."""
    category_ids, lost = list(dataset.category_ids), []
    if not target.are_in_order(category_ids):
        category_ids = list(range(1, dataset.num_classes + 1))
        lost.append("category ids: classes are numbered from 1, to keep their order")
    boxes = target.corners_px(dataset).tolist()
    annotations = []
    for row, (image, box) in enumerate(zip(_images_of_boxes(dataset), boxes, strict=True)):
        crowd = {"iscrowd": 1} if dataset.is_crowd[row] else {}
        category_id = category_ids[dataset.classes[row]]
        numbers = [target.plain(number) for number in box]
        annotations.append({"image_id": dataset.image_ids[image], "bbox": numbers, "category_id": category_id, **crowd})
    _write(dataset, folder, dataset.image_ids, category_ids, annotations)
    return lost


def write_coco(dataset: DetectionDataset, folder: pathlib.Path, settings: Settings) -> list[str]:
    """Writes boxes as [x, y, width, height]; ids that are no numbers are replaced by such."""
    image_ids, category_ids, lost = list(dataset.image_ids), list(dataset.category_ids), []
    if not all(isinstance(key, int) for key in image_ids):
        image_ids = list(range(1, len(dataset) + 1))
        lost.append("image ids: they are texts, which COCO's are not; images are numbered from 1")
    if not target.are_in_order(category_ids) or not all(isinstance(key, int) for key in category_ids):
        category_ids = list(range(1, dataset.num_classes + 1))
        lost.append("category ids: they are no numbers, or not in order; classes are numbered from 1")
    annotations = []
    boxes = target.ltwh_px(dataset).tolist()
    for row, (image, box) in enumerate(zip(_images_of_boxes(dataset), boxes, strict=True)):
        numbers = [target.plain(number) for number in box]
        annotations.append(
            {
                "id": row + 1,
                "image_id": image_ids[image],
                "category_id": category_ids[dataset.classes[row]],
                "bbox": numbers,
                "area": target.plain(round(box[2] * box[3], 4)),
                "iscrowd": int(dataset.is_crowd[row]),
            }
        )
    _write(dataset, folder, image_ids, category_ids, annotations)
    return lost


def _images_of_boxes(dataset: DetectionDataset) -> list[int]:
    images: list[int] = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image).tolist()
    return images


def _write(
    dataset: DetectionDataset,
    folder: pathlib.Path,
    image_ids: Sequence[int | str],
    category_ids: Sequence[int | str],
    annotations: list[dict[str, Any]],
) -> None:
    names = target.file_names(dataset)
    target.copy_images(dataset, names, folder / IMAGES)
    images = [
        {"id": key, "file_name": name, "width": width, "height": height}
        for key, name, (height, width) in zip(image_ids, names, dataset.sizes.tolist(), strict=True)
    ]
    categories = [{"id": key, "name": name} for key, name in zip(category_ids, dataset.class_names, strict=True)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / ANNOTATIONS).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
