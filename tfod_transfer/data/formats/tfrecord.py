"""Reads TFRecord files of `tf.train.Example`s with the keys that the Object Detection API gives them."""

from __future__ import annotations

import pathlib
import re

from tfod_transfer.data import addresses
from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats import json_labels, sniffing, tf_example, tfrecord_framing
from tfod_transfer.data.formats.building import RecordsBuilder
from tfod_transfer.data.formats.files import lines_of, mapped
from tfod_transfer.data.formats.places import CALLED, Place
from tfod_transfer.data.formats.records import Id, Records
from tfod_transfer.data.formats.tf_example import Feature
from tfod_transfer.errors import DataError

ENCODED, HEIGHT, WIDTH = "image/encoded", "image/height", "image/width"
FILE_NAME, SOURCE_ID = "image/filename", "image/source_id"
SIDES = tuple(f"image/object/bbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax"))
LABEL, TEXT = "image/object/class/label", "image/object/class/text"
IS_CROWD, DIFFICULT = "image/object/is_crowd", "image/object/difficult"
LABEL_MAP = "label_map.pbtxt"

_ITEM = re.compile(r"item\s*\{(.*?)\}", re.DOTALL)
_ITEM_FIELD = re.compile(r"""\b(id|name|display_name)\s*:\s*(?:(\d+)|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")


def read(place: Place) -> Records:
    """Reads a file, or all files of a set, into columns; looks at no image.

    Raises:
      DataError: a file of the set is missing, is cut off, damaged, or no TFRecord.
    """
    builder = RecordsBuilder(place.source, CALLED["tfrecord"], "xyxy", normalised=True)
    names: dict[Id, str] = {}
    difficult = number = 0
    for path in _files(place.source):
        with mapped(path) as content:
            for offset, record in tfrecord_framing.records(content, str(path)):
                origin = f"{path} record at offset {offset}"
                number += 1
                try:
                    example = _Example(content, tf_example.parse(content, record), path, number - 1)
                    difficult += example.add_to(builder, origin, names)
                except ValueError as error:
                    builder.leave_out("bad_record", origin, f"expected an Example of the Object Detection API: {error}")
    if not number:
        raise DataError(f"{place.source} is empty; expected TFRecord")
    if difficult:
        message = f"{difficult} boxes are marked as difficult: as in VOC, they are not trained on and do not count"
        builder.findings.append(Finding("difficult_boxes", str(place.source), message, value=difficult, action="noted"))
    return builder.build(place.folders, list({**label_map_in(place.source.parent), **names}.items()))


class _Example:
    def __init__(self, content: memoryview, features: dict[str, Feature], path: pathlib.Path, number: int) -> None:
        self._content, self._features, self._path, self._number = content, features, path, number

    def add_to(self, builder: RecordsBuilder, origin: str, names: dict[Id, str]) -> int:
        """Adds the image and its boxes, and the names of their classes; returns how many boxes are difficult."""
        pieces = self._of(ENCODED).pieces
        if not pieces or not pieces[0][1]:
            raise ValueError(f"it has no {ENCODED}")
        name = (self._texts(FILE_NAME) or [""])[0] or f"{self._number:09d}"
        source_id = (self._texts(SOURCE_ID) or [""])[0]
        sides = [self._of(side).floats for side in SIDES]
        labels: list[int] = self._of(LABEL).integers
        texts = self._texts(TEXT)
        categories: list[int] | list[str] = labels or texts
        count = len(sides[0])
        if {len(side) for side in sides} != {count} or len(categories) != count:
            found = f"{[len(side) for side in sides]} and {len(categories)}"
            raise ValueError(f"expected as many {', '.join(SIDES)} and {LABEL}, found {found}")
        size = ((self._of(HEIGHT).integers or [0])[0], (self._of(WIDTH).integers or [0])[0])
        row = builder.add_image(
            name,
            origin,
            image_id=json_labels.as_id(source_id) if source_id else self._number,
            size_hw=size,
            address=addresses.inside(self._path, pieces[:1], name),
        )
        if row is None:
            return 0
        crowds, difficult = (self._of(key).integers + [0] * count for key in (IS_CROWD, DIFFICULT))
        for index, (category, *numbers) in enumerate(zip(categories, *sides, strict=True)):
            is_ignored = bool(crowds[index] or difficult[index])
            builder.add_box(row, numbers, category, index, is_ignored)
        if labels and len(texts) == count:
            for label, text in zip(labels, texts, strict=True):
                names.setdefault(label, text)
        return sum(map(bool, difficult[:count]))

    def _of(self, key: str) -> Feature:
        return self._features.get(key, Feature([], [], []))

    def _texts(self, key: str) -> list[str]:
        return [
            bytes(self._content[start : start + length]).decode("utf-8", "replace")
            for start, length in self._of(key).pieces
        ]


def _files(source: pathlib.Path) -> list[pathlib.Path]:
    """The file, or all of the set that it belongs to."""
    count = sniffing.shards_of(source.name)
    if not count:
        return [source]
    stem = source.name[: -len("-00000-of-00000")]
    files = [source.with_name(f"{stem}-{number:05d}-of-{count:05d}") for number in range(count)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(f"{source} is one of {count} files; {len(missing)} of them are missing, {missing[0]} for one")
    return files


def label_map_in(folder: pathlib.Path) -> dict[Id, str]:
    """The classes of the only `.pbtxt` file in a folder."""
    files = sorted(folder.glob("*.pbtxt"))
    names: dict[Id, str] = {}
    for item in _ITEM.findall("\n".join(lines_of(files[0]))) if len(files) == 1 else []:
        fields = {key: number or double or single for key, number, double, single in _ITEM_FIELD.findall(item)}
        if fields.get("id", "").isdecimal():
            names[int(fields["id"])] = fields.get("display_name") or fields.get("name") or fields["id"]
    return names
