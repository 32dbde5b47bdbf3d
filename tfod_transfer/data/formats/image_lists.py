"""MXNet's detection labels, in `.lst` files and in records, and the small files that lie beside a `.rec` file.

A line of a list is: index, the numbers of the label (see `recordio.py`), name of the image file; separated by tabs.
"""

from __future__ import annotations

import pathlib
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats.building import RecordsBuilder
from tfod_transfer.data.formats.files import lines_of
from tfod_transfer.data.formats.places import CALLED, Place
from tfod_transfer.data.formats.records import Id, Records
from tfod_transfer.errors import DataError

# MXNet's formats have no place for names of classes; this file has one in each line.
CLASSES = "classes.txt"
MIN_HEADER, MIN_OBJECT = 2, 5
_MAX_OBJECT = 1000
_INDEX = re.compile(r"[0-9]{1,18}")
# A share further over the edge than this is no share, but a pixel or a percent.
_MAX_SHARE = 2.0


class LabelReader:
    """Adds labels, one image after the other."""

    def __init__(self, builder: RecordsBuilder) -> None:
        self._builder = builder
        self._boxes = self._no_shares = 0
        self._first_no_share = ""
        self._widths: set[int] = set()

    def add(
        self, label: npt.NDArray[np.floating[Any]], origin: str, name: str, image_id: int, address: str = ""
    ) -> None:
        """Adds an image with the boxes of its label, float [n]."""
        problem = _problem_with(label)
        if problem:
            self._builder.leave_out("bad_record", origin, problem, label[:12].tolist())
            return
        width = int(label[1])
        self._widths.add(width)
        objects = label[int(label[0]) :].reshape(-1, width)[:, :MIN_OBJECT].astype(np.float64)
        boxes = int((objects[:, 0] != -1).sum())
        row = self._builder.add_image(name, origin, image_id=image_id, address=address, boxes=boxes)
        if row is None:
            return
        for index, (class_id, *shares) in enumerate(objects.tolist()):
            if class_id == -1:
                continue
            if not (class_id >= 0 and class_id.is_integer()):
                message = f"expected a class, numbered from 0, found {class_id:g}"
                self._builder.leave_out("bad_record", origin, message, [class_id, *shares], box=index)
                continue
            self._boxes += 1
            if max(shares) > _MAX_SHARE:
                self._no_shares += 1
                self._first_no_share = self._first_no_share or f"{origin}: {shares}"
            self._builder.add_box(row, shares, int(class_id), index)

    def finish(self) -> None:
        """Says what holds for all labels.

        Raises:
          DataError: most boxes are not in shares of the image.
        """
        if self._no_shares > self._boxes / 2:
            raise DataError(
                f"{self._first_no_share}: expected xmin, ymin, xmax, ymax as shares of the image, from 0 to 1. "
                f"{self._no_shares} of {self._boxes} boxes are larger: divide pixels by the image's size, percents by "
                "100"
            )
        wide = [width for width in self._widths if width > MIN_OBJECT]
        if wide:
            message = f"objects have {max(wide)} numbers; what stands behind the fifth is not used"
            self._builder.findings.append(
                Finding("unused_numbers", self._builder.source, message, value=max(wide), action="noted")
            )


def _problem_with(label: npt.NDArray[np.floating[Any]]) -> str:
    widths = "expected the width of a header (from 2), the width of an object (from 5), and then the objects"
    if len(label) < MIN_HEADER:
        return f"{widths}; found {len(label)} numbers"
    header, width = label[:2].tolist()
    is_whole = header.is_integer() and width.is_integer()
    if not (is_whole and header >= MIN_HEADER and MIN_OBJECT <= width <= _MAX_OBJECT):
        return f"{widths}; found {header:g} and {width:g}"
    if len(label) < header or (len(label) - header) % width:
        return f"{len(label)} numbers are no header of {header:g} and objects of {width:g} each"
    return ""


def read_list(place: Place) -> Records:
    """Reads a `.lst` file into columns; its images are files.

    Raises:
      DataError: it is no text, or most boxes are not in shares of the image.
    """
    builder = RecordsBuilder(place.source, CALLED["lst"], "xyxy", normalised=True, states_sizes=False)
    labels = LabelReader(builder)
    for number, line in enumerate(lines_of(place.source), start=1):
        if not line.strip():
            continue
        origin = f"{place.source} line {number}"
        index, *numbers, name = line.rstrip("\t").split("\t") if "\t" in line else (line, "")
        try:
            labels.add(np.array([float(text) for text in numbers]), origin, name.strip(), int(float(index)))
        except (ValueError, OverflowError) as error:
            builder.leave_out("bad_record", origin, f"expected numbers between tabs ({error})", line[:80])
    labels.finish()
    return builder.build(place.folders, classes_beside(place.source))


def names_beside(source: pathlib.Path) -> dict[int, str]:
    """The image names by index, of the list beside a `.rec` file; where there is none they are unknown."""
    names = {}
    for line in lines_of(source.with_suffix(".lst")):
        fields = line.strip().split("\t")
        if len(fields) > 1 and _INDEX.fullmatch(fields[0]):
            names[int(fields[0])] = fields[-1]
    return names


def offsets_in(index: pathlib.Path) -> list[int] | None:
    """The offsets that an `.idx` file lists; None where there is no such file."""
    if not index.is_file():
        return None
    fields = [line.split("\t") for line in lines_of(index)]
    return [int(field[1]) if len(field) == 2 and _INDEX.fullmatch(field[1].strip()) else -1 for field in fields]


def classes_beside(source: pathlib.Path) -> list[tuple[Id, str]]:
    """(class id, name) as the file of class names beside a data set tells them."""
    return list(enumerate(line.strip() for line in lines_of(source.with_name(CLASSES))))
