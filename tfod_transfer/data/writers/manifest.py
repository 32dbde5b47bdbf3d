"""Writes an augmented manifest, with the images beside it."""

from __future__ import annotations

import json
import pathlib

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats.manifest import METADATA, REFERENCE
from tfod_transfer.data.formats.places import IMAGES
from tfod_transfer.data.writers import target
from tfod_transfer.data.writers.target import Settings

ATTRIBUTE = "bounding-box"
TYPE = "groundtruth/object-detection"


def write(dataset: DetectionDataset, folder: pathlib.Path, settings: Settings) -> list[str]:
    """Writes `images/` and a manifest called as the folder; classes are numbered from 0."""
    names = target.file_names(dataset)
    target.copy_images(dataset, names, folder / IMAGES)
    prefix = f"{IMAGES}/" if settings.image_prefix is None else settings.image_prefix
    ltwh = target.ltwh_px(dataset)
    with (folder / f"{folder.name}.manifest").open("w", encoding="utf-8") as file:
        for image, name in enumerate(names):
            class_map = {str(row): dataset.class_names[row] for row in target.classes_of(dataset, image)}
            line = {
                REFERENCE: prefix + name,
                ATTRIBUTE: target.sagemaker_labels(dataset, image, ltwh),
                ATTRIBUTE + METADATA: {"class-map": class_map, "type": TYPE},
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return [*target.not_held_as_numbered(dataset), "image ids: images are called by their addresses"]
