"""Collects images and boxes one by one into Records: for formats that tell them image by image."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats.records import (
    BoxOrder,
    Id,
    Records,
    build_classes,
    is_safe,
    normalised_name,
)


class RecordsBuilder:
    """The images and boxes of a data set, as they are read.

    Attributes:
      source: the data set.
      findings: what the reader left out or put right; `leave_out` adds to it.
    """

    def __init__(
        self, source: pathlib.Path, called: str, order: BoxOrder, *, normalised: bool = False, states_sizes: bool = True
    ) -> None:
        """Args: the data set; its format in words; order and unit of the numbers; whether image sizes have a place."""
        self.source, self._called, self._order = str(source), called, order
        self._normalised, self._states_sizes = normalised, states_sizes
        self.findings: list[Finding] = []
        self._images: list[tuple[Id, str, tuple[int, int], str, str]] = []
        self._rows: dict[str, int] = {}
        self._image_rows: list[int] = []
        self._numbers: list[float] = []
        self._categories: list[Id] = []
        self._crowds: list[bool] = []
        self._indices: list[int] = []
        self._images_left_out = self._boxes_left_out = 0

    def add_image(
        self,
        name: str,
        origin: str,
        *,
        image_id: Id | None = None,
        size_hw: tuple[Any, Any] = (0, 0),
        address: str = "",
        boxes: int = 0,
    ) -> int | None:
        """Adds an image, or finds the one of this name.

        Args:
          name: relative name of its file, or what to call it where there is an address.
          origin: where it and its boxes are described.
          image_id: where the format has one; else its name.
          size_hw: height and width in pixels, as stated; anything that is no such size means that none is.
          address: of the image (data/addresses.py), where the format knows it.
          boxes: how many boxes it has; they are left out with it.

        Returns:
          Its row; None for a name that leaves the images folder.
        """
        name = name if address else normalised_name(name)
        if not address and not is_safe(name):
            self.leave_out(
                "unsafe_path", origin, f"the name {name!r} does not lie in the images folder", name, boxes=boxes
            )
            return None
        row = self._rows.setdefault(address or name, len(self._images))
        if row < len(self._images):
            self._images_left_out += 1
            message = f"{name!r} is described in {self._images[row][4]}, too; their boxes are put together"
            self.findings.append(Finding("duplicate_file_name", origin, message, value=name, action="merged"))
        else:
            self._images.append((name if image_id is None else image_id, name, _size(*size_hw), address, origin))
        return row

    def add_box(self, row: int, numbers: Sequence[float], category_id: Id, index: int, is_crowd: bool = False) -> None:
        """Adds a box to an image: its four numbers, its category, its place in the list of the image's boxes."""
        self._image_rows.append(row)
        self._numbers.extend(numbers)
        self._categories.append(category_id)
        self._crowds.append(is_crowd)
        self._indices.append(index)

    def leave_out(
        self, reason: str, origin: str, message: str, value: Any = None, *, box: int | None = None, boxes: int = 0
    ) -> None:
        """Notes that a box cannot be used (its place in the list is `box`), or an image with so many boxes."""
        self.findings.append(Finding(reason, origin, message, box, value))
        self._images_left_out += box is None
        self._boxes_left_out += boxes if box is None else 1

    def build(
        self, folders: tuple[pathlib.Path, ...], listed: Sequence[tuple[Id, str]] = (), class_order: Sequence[Id] = ()
    ) -> Records:
        """Makes columns of what was added.

        Args:
          folders: where the image files may lie, the likeliest first.
          listed: (category id, name) where the format tells names.
          class_order: category ids in the order that their classes shall have.
        """
        classes = build_classes(self.source, self._categories, listed, class_order)
        count = len(self._categories)
        return Records(
            source=self.source,
            image_ids=_unique([image[0] for image in self._images]),
            file_names=[image[1] for image in self._images],
            stated_sizes=np.array([image[2] for image in self._images], np.int64).reshape(-1, 2),
            image_rows=np.array(self._image_rows, np.int64),
            numbers=np.array(self._numbers, np.float64).reshape(count, 4),
            class_rows=np.array([classes.rows[category_id] for category_id in self._categories], np.int32),
            is_crowd=np.array(self._crowds, np.bool_),
            annotation_indices=np.array(self._indices, np.int64),
            class_names=classes.names,
            category_ids=classes.category_ids,
            findings=[*self.findings, *classes.findings],
            images_listed=len(self._images) + self._images_left_out,
            boxes_listed=count + self._boxes_left_out,
            format=self._called,
            order=self._order,
            normalised=self._normalised,
            states_sizes=self._states_sizes,
            folders=folders,
            addresses=[image[3] for image in self._images] if any(image[3] for image in self._images) else None,
            origins=[image[4] for image in self._images],
        )


def _size(height: Any, width: Any) -> tuple[int, int]:
    given = all(isinstance(side, (int, float)) and 1 <= side < 2**31 for side in (height, width))
    return (int(height), int(width)) if given else (0, 0)


def _unique(image_ids: list[Id]) -> list[Id]:
    """The ids, or where they do not tell the images apart the images' places."""
    return image_ids if len(set(map(str, image_ids))) == len(image_ids) else list(range(len(image_ids)))
