"""The image files that an annotation file names, and those beside them that it does not."""

from __future__ import annotations

import os
import pathlib
import unicodedata
from collections.abc import Sequence

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats.places import names_in
from tfod_transfer.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_PROBED = 100


def image_folder(folders: Sequence[pathlib.Path], file_names: Sequence[str], *, required: bool = True) -> pathlib.Path:
    """Of the folders where images may lie, the one that holds most of the files named; of equals the first.

    Raises:
      DataError: when `required` and none of them holds the images.
    """
    probed = file_names[:_PROBED]
    hits = [sum((folder / name).is_file() for name in probed) for folder in folders]
    if required and probed and not any(hits) and not folders[0].is_dir():
        others = "".join(f" or in {folder}" for folder in folders[1:])
        raise DataError(
            f"no images found: expected {probed[0]!r} in {folders[0]}{os.sep} (there is no such folder){others}"
        )
    return folders[hits.index(max(hits))]


def unlisted_files(folder: pathlib.Path, file_names: Sequence[str]) -> list[Finding]:
    """One finding for all files in the images folder that the annotation file does not mention."""
    present = {name for name in names_in(folder) if name.lower().endswith(IMAGE_SUFFIXES)} if folder.is_dir() else set()
    unlisted = sorted(present - set(file_names))
    if not unlisted:
        return []
    message = f"{len(unlisted)} image files are not in the annotation file and are not used, {unlisted[0]!r} for one"
    return [Finding("unlisted_file", str(folder), message, value=unlisted[0], action="noted")]


def similar_file(folder: pathlib.Path, file_name: str) -> str:
    """Returns "; there is 'x'" when a file's name differs in nothing but capitals or the encoding of accents, or ""."""
    wanted = _folded(pathlib.PurePosixPath(file_name).name)
    parent = (folder / file_name).parent
    near = [name for name in (names_in(parent) if parent.is_dir() else []) if _folded(name) == wanted]
    return f"; there is {near[0]!r}" if near else ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def folder_with_stems(folders: Sequence[pathlib.Path], stems: Sequence[str]) -> pathlib.Path:
    """Of the folders where images may lie, the one with most images called so, whatever they end with."""
    hits = [len(set(names_by_stem(folder)) & set(stems)) for folder in folders]
    return folders[hits.index(max(hits))]


def names_by_stem(folder: pathlib.Path) -> dict[str, str]:
    """The images of a folder by their names without endings."""
    names = names_in(folder) if folder.is_dir() else []
    return {pathlib.Path(name).stem: name for name in names[::-1] if name.lower().endswith(IMAGE_SUFFIXES)}
