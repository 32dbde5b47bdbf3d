"""Reads `annotations.json`: JumpStart's form (corners) and COCO's (corner and size) share everything but the box."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats import json_file
from tfod_transfer.data.formats.json_file import AnnotationFile, BoxRecord, ImageRecord
from tfod_transfer.data.formats.places import Place
from tfod_transfer.data.formats.records import Id, Records, build_classes, is_safe, normalised_name

_UNKNOWN, _LEFT_OUT = -1, -2
_MAX_SIDE = 2**31


def read(place: Place) -> Records:
    """Reads an annotation file into columns; opens no image.

    Raises:
      DataError: when the file is not JSON or not of this form.
    """
    path = str(place.source)
    return _columns(path, json_file.decode(path), place)


def _columns(path: str, file: AnnotationFile, place: Place) -> Records:
    findings = list(file.findings)
    images, rows = _images(path, file.images, findings)
    rows.update({record.id: _LEFT_OUT for record in file.images if record and record.id not in rows})
    boxes, indices, image_rows = _boxes(path, file.annotations, rows, findings)
    count = len(boxes)

    listed = [(record.id, record.name) for record in file.categories if record]
    classes = build_classes(path, [record.category_id for record in boxes], listed)
    findings.extend(classes.findings)
    numbers = itertools.chain.from_iterable([record.bbox for record in boxes])
    return Records(
        source=path,
        image_ids=[record.id for record in images],
        file_names=[record.file_name for record in images],
        stated_sizes=_stated_sizes(images),
        image_rows=image_rows,
        numbers=np.fromiter(numbers, np.float64, 4 * count).reshape(count, 4),
        class_rows=np.array([classes.rows[record.category_id] for record in boxes], np.int32),
        is_crowd=np.array([record.iscrowd or 0 for record in boxes], np.bool_),
        annotation_indices=indices,
        class_names=classes.names,
        category_ids=classes.category_ids,
        findings=findings,
        images_listed=len(file.images),
        boxes_listed=len(file.annotations),
        folders=place.folders,
    )


def _images(
    path: str, listed: Sequence[ImageRecord | None], findings: list[Finding]
) -> tuple[list[ImageRecord], dict[Id, int]]:
    """Returns the images that are kept, and the row among them for each image id."""
    records = [record for record in listed if record]
    for record in records:
        record.file_name = normalised_name(record.file_name)
    ambiguous = _ambiguous_ids(path, records, findings)

    kept: list[ImageRecord] = []
    rows: dict[Id, int] = {}
    rows_by_name: dict[str, int] = {}
    for record in records:
        if record.id in ambiguous or record.id in rows:
            continue
        if not is_safe(record.file_name):
            message = f"image {record.id!r}: file_name {record.file_name!r} does not lie in the images folder"
            findings.append(Finding("unsafe_path", path, message, value=record.file_name))
            continue
        row = rows_by_name.setdefault(record.file_name, len(kept))
        rows[record.id] = row
        if row == len(kept):
            kept.append(record)
        else:
            both = f"images {kept[row].id!r} and {record.id!r} are both {record.file_name!r}"
            message = f"{both}; their boxes are put together"
            findings.append(Finding("duplicate_file_name", path, message, value=record.id, action="merged"))
    return kept, rows


def _ambiguous_ids(path: str, records: list[ImageRecord], findings: list[Finding]) -> set[Id]:
    """Ids that stand for several files: whose boxes they carry cannot be told, so all of these are left out."""
    first: dict[Id, str] = {}
    ambiguous: set[Id] = set()
    for record in records:
        if first.setdefault(record.id, record.file_name) != record.file_name:
            ambiguous.add(record.id)
            message = f"id {record.id!r} stands for {first[record.id]!r} and {record.file_name!r}; neither is used"
            findings.append(Finding("duplicate_image_id", path, message, value=record.id))
    return ambiguous


def _boxes(
    path: str, listed: Sequence[BoxRecord | None], rows: dict[Id, int], findings: list[Finding]
) -> tuple[list[BoxRecord], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns the boxes of kept images, their positions in the file, and their image rows."""
    records = [record for record in listed if record]
    indices = np.arange(len(listed))
    if len(records) < len(listed):
        indices = np.array([index for index, record in enumerate(listed) if record], np.int64)
    image_rows = np.array([rows.get(record.image_id, _UNKNOWN) for record in records], np.int64)

    by_text = {str(image_id): row for image_id, row in rows.items()} if (image_rows == _UNKNOWN).any() else {}
    for position in np.flatnonzero(image_rows == _UNKNOWN):
        image_id = records[position].image_id
        image_rows[position] = by_text.get(str(image_id), _UNKNOWN)
        if image_rows[position] == _UNKNOWN:
            message = f"image_id {image_id!r} is not among the images of this file"
            value = list(records[position].bbox)
            findings.append(Finding("unknown_image", path, message, int(indices[position]), value))
    if (image_rows < 0).any():
        kept = np.flatnonzero(image_rows >= 0)
        return [records[position] for position in kept], indices[kept], image_rows[kept]
    return records, indices, image_rows


def _stated_sizes(images: list[ImageRecord]) -> npt.NDArray[np.int64]:
    sizes = np.array([(record.height or 0, record.width or 0) for record in images], np.float64).reshape(-1, 2)
    given = ((sizes >= 1) & (sizes < _MAX_SIDE)).all(axis=1, keepdims=True)
    return np.where(given, sizes, 0).astype(np.int64)
