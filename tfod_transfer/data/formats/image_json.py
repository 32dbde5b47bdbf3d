"""Reads SageMaker's channels of images and annotations: one JSON file for each image.

Each file has `file`, relative to the folder of images, `image_size`, `annotations` (see `json_labels.py`), and may have
`categories`, the names of classes.
"""

from __future__ import annotations

from typing import Any

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats import json_labels
from tfod_transfer.data.formats.building import RecordsBuilder
from tfod_transfer.data.formats.places import CALLED, Place
from tfod_transfer.data.formats.records import Id, Records


def read(place: Place) -> Records:
    """Reads a folder of annotation files into columns; opens no image.

    Raises:
      OSError: a file cannot be read.
    """
    builder = RecordsBuilder(place.source, CALLED["image_json"], "xywh")
    names = _ClassNames()
    for path in sorted(place.source.rglob("*.json")):
        content, origin = json_labels.parse(path.read_bytes()), str(path)
        problem = content if isinstance(content, str) else json_labels.problem_with(content)
        if isinstance(content, str) or problem:
            builder.leave_out("bad_record", origin, problem)
            continue
        file = content.get("file")
        if not isinstance(file, str):
            message = f'expected "file", the name of an image; found {file!r}'
            builder.leave_out("bad_record", origin, message, boxes=json_labels.count_of(content))
            continue
        size, boxes = json_labels.size_of(content), json_labels.count_of(content)
        row = builder.add_image(file, origin, size_hw=size, boxes=boxes)
        if row is None:
            continue
        json_labels.add_boxes(builder, row, content, origin)
        names.learn(content)
    listed, finding = names.found(str(place.source))
    builder.findings += [finding] if finding else []
    return builder.build(place.folders, listed)


class _ClassNames:
    """The names of classes, as far as the lists of categories in all files agree on them.

    A file may list its categories by the numbers that its boxes have, as documented. The published notebook for COCO
    lists one category for each box, in their order, but by COCO's numbers, which the boxes do not have.
    """

    def __init__(self) -> None:
        self._by_id: dict[Id, str] = {}
        self._by_place: dict[Id, str] = {}
        self._is_by_id = self._is_by_place = True

    def learn(self, content: dict[str, Any]) -> None:
        """Looks at the categories of a file."""
        categories = content.get("categories")
        if not categories:
            return
        try:
            listed = [(json_labels.as_id(each["class_id"]), str(each["name"])) for each in categories]
            used = [json_labels.as_id(each["class_id"]) for each in content["annotations"]]
        except (KeyError, TypeError, AttributeError):
            self._is_by_id = self._is_by_place = False
            return
        self._is_by_id &= set(used) <= {key for key, _ in listed}
        self._is_by_id &= all(self._by_id.setdefault(key, name) == name for key, name in listed)
        self._is_by_place &= len(listed) == len(used)
        for key, (_, name) in zip(used, listed, strict=False):
            self._is_by_place &= self._by_place.setdefault(key, name) == name

    def found(self, source: str) -> tuple[list[tuple[Id, str]], Finding | None]:
        """(class id, name) of each class, and what there is to say about them."""
        if self._is_by_id:
            return list(self._by_id.items()), None
        if self._is_by_place and len(set(self._by_place.values())) == len(self._by_place):
            how = "their names are taken in the order of the boxes, with which they agree throughout"
            names = list(self._by_place.items())
        else:
            how, names = "they are not used, and classes are called by their numbers", []
        message = f"the categories in these files are not numbered as their boxes are; {how}"
        return names, Finding("other_categories", source, message, action="noted")
