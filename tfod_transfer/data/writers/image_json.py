"""Writes SageMaker's channels: a folder of images, and beside it one with a JSON file for each of them."""

from __future__ import annotations

import json
import pathlib

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats.places import CHANNEL_SUFFIX
from tfod_transfer.data.writers import target
from tfod_transfer.data.writers.target import Settings


def write(dataset: DetectionDataset, folder: pathlib.Path, settings: Settings) -> list[str]:
    """Writes a channel of images, and that of annotations beside it; classes are numbered from 0."""
    names = target.file_names(dataset, unique_stems=True)
    target.copy_images(dataset, names, folder)
    annotation_folder = folder.with_name(folder.name + CHANNEL_SUFFIX)
    annotation_folder.mkdir()
    ltwh = target.ltwh_px(dataset)
    for image, name in enumerate(names):
        classes = target.classes_of(dataset, image)
        categories = [{"class_id": row, "name": dataset.class_names[row]} for row in classes]
        content = {"file": name, **target.sagemaker_labels(dataset, image, ltwh), "categories": categories}
        path = (annotation_folder / name).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return [*target.not_held_as_numbered(dataset), "image ids, and the order of images: they are called by their files"]
