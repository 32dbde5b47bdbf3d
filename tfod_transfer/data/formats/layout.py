"""Finds the annotation file and the image files of a data set on disk."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Sequence

from tfod_transfer import errors
from tfod_transfer.data.dataset import Finding
from tfod_transfer.errors import DataError

ANNOTATIONS = "annotations.json"
IMAGES = "images"
_PROBED = 100


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a data set lies: its annotation file, and the folder beside it."""

    annotations: pathlib.Path
    folder: pathlib.Path

    def image_folder(self, file_names: Sequence[str], *, required: bool = True) -> pathlib.Path:
        """`images/` beside the annotation file, or the folder itself where that holds more of the files named.

        Raises:
          DataError: when `required` and neither holds the images.
        """
        inside = self.folder / IMAGES
        probed = file_names[:_PROBED]
        beside_hits = sum((self.folder / name).is_file() for name in probed)
        inside_hits = sum((inside / name).is_file() for name in probed)
        if beside_hits > inside_hits:
            return self.folder
        if required and not inside.is_dir() and probed and not beside_hits:
            raise DataError(
                f"no images found: expected {probed[0]!r} in {inside}{os.sep} (there is no such folder) "
                f"or in {self.folder}"
            )
        return inside


def locate(path: str) -> Layout:
    """Finds a data set: a folder with `images/` and `annotations.json`, or an annotation file itself.

    Raises:
      DataError: saying what was expected and what is there.
    """
    place = pathlib.Path(path)
    expected = f"expected a folder with {IMAGES}/ and {ANNOTATIONS}, or an annotation file in JSON"
    if not place.exists():
        near = errors.did_you_mean(place.name, _names(place.parent)) if place.parent.is_dir() else ""
        raise DataError(f"{path} does not exist; {expected}.{near}")
    if place.is_file():
        if place.suffix.lower() != ".json":
            raise DataError(f"{path} is not a JSON file; {expected}. An archive has to be unpacked first")
        return Layout(place, place.parent)
    if not (place / ANNOTATIONS).is_file():
        raise DataError(f"{path} has no {ANNOTATIONS}; {expected}. {_what_is_there(place)}")
    return Layout(place / ANNOTATIONS, place)


def unlisted_files(folder: pathlib.Path, file_names: Sequence[str]) -> list[Finding]:
    """One finding for all files in the images folder that the annotation file does not mention."""
    suffixes = (".jpg", ".jpeg", ".png")
    present = {name for name in _names(folder) if name.lower().endswith(suffixes)} if folder.is_dir() else set()
    unlisted = sorted(present - set(file_names))
    if not unlisted:
        return []
    message = f"{len(unlisted)} image files are not in the annotation file and are not used, {unlisted[0]!r} for one"
    return [Finding("unlisted_file", str(folder), message, value=unlisted[0], action="noted")]


def similar_file(folder: pathlib.Path, file_name: str) -> str:
    """Returns "; there is 'x'" when a file's name differs in nothing but capitals or the encoding of accents, or ""."""
    wanted = _folded(pathlib.PurePosixPath(file_name).name)
    parent = (folder / file_name).parent
    near = [name for name in (_names(parent) if parent.is_dir() else []) if _folded(name) == wanted]
    return f"; there is {near[0]!r}" if near else ""


def _what_is_there(place: pathlib.Path) -> str:
    names = _names(place)
    parts = [name for name in names if (place / name / ANNOTATIONS).is_file()]
    if parts:
        return f"There is one in {', '.join(parts[:5])}: pass that folder"
    json_files = sorted(str(file.relative_to(place)) for file in [*place.glob("*.json"), *place.glob("*/*.json")])
    if json_files:
        return f"There is {', '.join(json_files[:5])}: if that is it, pass the file instead of the folder"
    return f"It holds {', '.join(names[:8]) + (', ...' if len(names) > 8 else '')}" if names else "It is empty"


def _names(folder: pathlib.Path) -> list[str]:
    return sorted(os.listdir(folder))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
