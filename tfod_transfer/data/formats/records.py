"""What an annotation file states, as columns, before any image is looked at: the output of every format's reader."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import posixpath
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import Finding

Id = int | str
BoxOrder = Literal["xyxy", "xywh"]


@dataclasses.dataclass(frozen=True)
class Records:
    """N images and M boxes as an annotation file states them.

    Attributes:
      source: the annotation file.
      image_ids: N identifiers.
      file_names: N relative names of image files, with `/`; where there are `addresses`, names to call the images by.
      stated_sizes: int64 [N, 2], (height, width) in pixels; 0 where the file gives none.
      image_rows: int64 [M], the image of each box, 0..N-1.
      numbers: float64 [M, 4], the four numbers of each box as found.
      class_rows: int32 [M], 0..K-1.
      is_crowd: bool [M].
      annotation_indices: int64 [M], position in the file's list.
      class_names: K names.
      category_ids: K category ids.
      findings: what the reader left out or put right.
      images_listed: how many images the file lists, those left out included.
      boxes_listed: how many boxes the file lists, those left out included.
      format: what the format is called; "" where the order of the boxes decides it.
      order: of `numbers`; None where it has to be found out.
      normalised: whether `numbers` are shares of the image's width and height, and not pixels.
      states_sizes: whether the format has a place for image sizes.
      folders: where the files may lie that `file_names` mean, the likeliest first.
      addresses: N addresses of images (data/addresses.py), where the format knows them.
      origins: N texts that say where each image and its boxes are described; None: in `source`.
    """

    source: str
    image_ids: list[Id]
    file_names: list[str]
    stated_sizes: npt.NDArray[np.int64]
    image_rows: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.float64]
    class_rows: npt.NDArray[np.int32]
    is_crowd: npt.NDArray[np.bool_]
    annotation_indices: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    category_ids: tuple[Id, ...]
    findings: list[Finding]
    images_listed: int
    boxes_listed: int
    format: str = ""
    order: BoxOrder | None = None
    normalised: bool = False
    states_sizes: bool = True
    folders: tuple[pathlib.Path, ...] = ()
    addresses: list[str] | None = None
    origins: list[str] | None = None

    @property
    def box_origins(self) -> str | list[str]:
        """Where each of the M boxes is described, or where all of them are."""
        return self.source if self.origins is None else [self.origins[row] for row in self.image_rows]


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of a data set, and how its category ids (1 and "1" are the same) lead to them."""

    rows: dict[Id, int]
    names: tuple[str, ...]
    category_ids: tuple[Id, ...]
    findings: list[Finding]


def normalised_name(file_name: str) -> str:
    """A relative file name with `/` and without detours."""
    return posixpath.normpath(file_name.replace("\\", "/"))


def is_safe(file_name: str) -> bool:
    """Whether a normalised name stays inside the images folder, by its text alone (links are the user's choice)."""
    return file_name != "." and "\0" not in file_name and file_name.split("/")[0] not in ("", "..")


def build_classes(
    source: str, used: Iterable[Id], listed: Sequence[tuple[Id, str]], order: Sequence[Id] = ()
) -> Classes:
    """Makes classes of the category ids that annotations use.

    A class needs a box to be learnt, so a category that is listed but not used becomes no class. Order: as told, then
    numbers by value, then texts alphabetically.

    Args:
      source: the annotation file, for the findings.
      used: category ids of the annotations.
      listed: (id, name) of the file's own list of categories; may be empty.
      order: category ids in the order that their classes shall have.
    """
    findings: list[Finding] = []
    names: dict[str, str] = {}
    ids: dict[str, Id] = {}
    for category_id, name in listed:
        if names.setdefault(str(category_id), name) != name:
            message = f"category {category_id!r} is listed twice; its first name {names[str(category_id)]!r} is used"
            findings.append(Finding("duplicate_category", source, message, value=name, action="noted"))
        ids.setdefault(str(category_id), category_id)

    used = list(dict.fromkeys(used))
    seen = {str(category_id) for category_id in used}
    for category_id in used:
        if str(category_id) not in ids:
            ids[str(category_id)] = category_id
            if listed:
                message = f"category {category_id!r} is used but not listed; it becomes a class named by its id"
                findings.append(Finding("unlisted_category", source, message, value=category_id, action="noted"))
    unused = [name for text, name in names.items() if text not in seen]
    if unused:
        message = f"{len(unused)} categories are listed but never used, and become no classes: {_some(unused)}"
        findings.append(Finding("unused_category", source, message, value=unused, action="noted"))

    place = {str(category_id): row for row, category_id in enumerate(order)}
    category_ids = tuple(
        sorted(
            (ids[text] for text in seen), key=lambda key: (place.get(str(key), len(place)), isinstance(key, str), key)
        )
    )
    class_names = [names.get(str(category_id), str(category_id)) for category_id in category_ids]
    for row, count in enumerate([collections.Counter(class_names)[name] for name in class_names]):
        if count > 1:
            unique = f"{class_names[row]} ({category_ids[row]})"
            message = f"several categories are named {class_names[row]!r}; {category_ids[row]!r} becomes {unique!r}"
            findings.append(Finding("duplicate_category", source, message, value=category_ids[row], action="noted"))
            class_names[row] = unique
    by_text = {str(category_id): row for row, category_id in enumerate(category_ids)}
    rows = {category_id: by_text[str(category_id)] for category_id in used}
    return Classes(rows, tuple(class_names), category_ids, findings)


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
