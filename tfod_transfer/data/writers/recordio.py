"""Writes RecordIO with detection labels as MXNet's im2rec does: `.rec`, `.idx`, `.lst`, and a file of class names."""

from __future__ import annotations

import pathlib

import numpy as np
import numpy.typing as npt

from tfod_transfer.data import addresses
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats import image_lists, recordio, recordio_framing
from tfod_transfer.data.writers import target
from tfod_transfer.data.writers.target import Settings


def write(dataset: DetectionDataset, folder: pathlib.Path, settings: Settings) -> list[str]:
    """Writes files called as the folder; classes are numbered from 0.

    Raises:
      DataError: an image is too large for a record, or a class name does not fit in a line.
    """
    lost = [
        *target.not_held_as_numbered(dataset),
        f"class names: they are in {image_lists.CLASSES}, beside the records",
    ]
    target.require_lines(dataset.class_names)
    dataset, crowds = target.without_crowds(dataset)
    ids, images = _ids(dataset)
    names = target.file_names(dataset)
    stem = folder / folder.name
    offset = 0
    with (
        stem.with_name(stem.name + ".rec").open("wb") as records,
        stem.with_name(stem.name + ".idx").open("w", encoding="utf-8") as index,
        stem.with_name(stem.name + ".lst").open("w", encoding="utf-8") as listed,
    ):
        for image, (image_id, name) in enumerate(zip(ids, names, strict=True)):
            label = label_of(dataset, image)
            record = image_record(label, image_id, addresses.read(dataset.image_paths[image]))
            records.write(record)
            index.write(f"{image_id}\t{offset}\n")
            listed.write("\t".join([str(image_id), *(str(number) for number in label), name]) + "\n")
            offset += len(record)
    (folder / image_lists.CLASSES).write_text("".join(f"{name}\n" for name in dataset.class_names), encoding="utf-8")
    return [*lost, *crowds, *images]


def label_of(dataset: DetectionDataset, image: int) -> npt.NDArray[np.float32]:
    """The label of an image, float32 [2 + 5 n]: the widths of header and object, then class and corners of each."""
    rows = dataset.rows_of(image)
    classes = dataset.classes[rows].astype(np.float32)[:, np.newaxis]
    objects = np.concatenate([classes, dataset.boxes[rows][:, [1, 0, 3, 2]]], axis=1)
    widths = np.array([image_lists.MIN_HEADER, image_lists.MIN_OBJECT], np.float32)
    return np.concatenate([widths, objects.reshape(-1)])


def image_record(label: npt.NDArray[np.float32], image_id: int, contents: bytes) -> bytes:
    """An image record as it stands in a file."""
    header = recordio.HEADER.pack(len(label), 0.0, image_id, 0)
    return recordio_framing.frame(header + label.astype("<f4").tobytes() + contents)


def _ids(dataset: DetectionDataset) -> tuple[list[int], list[str]]:
    """A number for each image, and a sentence where these are not its id."""
    ids = [key for key in dataset.image_ids if isinstance(key, int) and 0 <= key < 2**64]
    if len(ids) == len(dataset):
        return ids, []
    return list(range(len(dataset))), ["image ids: not all are numbers from 0; images are numbered from 0"]
