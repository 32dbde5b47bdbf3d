"""Finds out which format a data set on disk is in, and where its annotations and images are."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable

from tfod_transfer import errors
from tfod_transfer.data.formats import sniffing
from tfod_transfer.errors import DataError

ANNOTATIONS = "annotations.json"
IMAGES = "images"
# SageMaker's channels of annotations lie beside those of images.
CHANNEL_SUFFIX = "_annotation"
VOC_IMAGES, VOC_ANNOTATIONS, VOC_LISTS = "JPEGImages", "Annotations", "ImageSets"
_PROBED = 20
CALLED = {
    "json": "annotations in JSON",
    "image_json": "a JSON file for each image",
    "manifest": "an augmented manifest",
    "recordio": "RecordIO",
    "lst": "a list for RecordIO",
    "tfrecord": "TFRecord",
    "voc": "Pascal VOC",
}
EXPECTED = (
    f"expected a folder with {IMAGES}/ and {ANNOTATIONS}, an annotation file in JSON, or another format: RecordIO "
    f"(.rec), an augmented manifest, a JSON file for each image ({CHANNEL_SUFFIX[1:]} channels), Pascal VOC or TFRecord"
)


@dataclasses.dataclass(frozen=True)
class Place:
    """A data set on disk.

    Attributes:
      format: a key of CALLED.
      source: the annotation file, the folder of annotation files, or the first of a set of files.
      folders: where image files may lie, the likeliest first.
    """

    format: str
    source: pathlib.Path
    folders: tuple[pathlib.Path, ...]


def locate(path: str, annotations: str | None = None) -> Place:
    """Finds a data set, and its format by what is there.

    Args:
      path: a folder or an annotation file; the folder of images when there are `annotations`.
      annotations: an annotation file, or a folder of them.

    Raises:
      DataError: saying what was expected and what is there.
    """
    place = _existing(path)
    if annotations is None:
        return _of_file(place, (place.parent / IMAGES, place.parent)) if place.is_file() else _of_folder(place)
    if not place.is_dir():
        raise DataError(f"{path} is a file; with annotations in a place of their own, expected the folder of images")
    given = _existing(annotations)
    if given.is_file():
        return _of_file(given, (place,))
    for name, what in (("image_json", "*.json"), ("voc", "*.xml")):
        if _any_is(given, what, name):
            return Place(name, given, (place, place.parent))
    raise DataError(f"{annotations} has no annotations: expected a JSON or XML file for each image. {_listing(given)}")


def _existing(path: str) -> pathlib.Path:
    place = pathlib.Path(path)
    if not place.exists():
        near = errors.did_you_mean(place.name, names_in(place.parent)) if place.parent.is_dir() else ""
        raise DataError(f"{path} does not exist; {EXPECTED}.{near}")
    return place


def _of_file(path: pathlib.Path, folders: tuple[pathlib.Path, ...]) -> Place:
    """A data set whose annotation file is given."""
    if path.suffix == ".idx" and path.with_suffix(".rec").is_file():
        path = path.with_suffix(".rec")
    if path.suffix == ".txt" and VOC_LISTS in path.parts:
        root = pathlib.Path(*path.parts[: path.parts.index(VOC_LISTS)])
        return Place("voc", path, _voc_images(root))
    found = sniffing.format_of(path)
    if found == "image_json":
        raise DataError(
            f"{path} describes a single image; give the folder of images, and that of these files beside it"
        )
    if found == "voc":
        raise DataError(f"{path} describes a single image; give the folder of these files")
    if found is None:
        raise DataError(
            f"{path} is not a JSON file, or one of another format; {EXPECTED}. An archive has to be unpacked"
        )
    return Place(found, path, folders)


def _of_folder(folder: pathlib.Path) -> Place:
    found = [place for finder in _FINDERS if (place := finder(folder))]
    if len(found) > 1:
        there = " and ".join(f"{CALLED[place.format]} ({os.path.relpath(place.source, folder)})" for place in found)
        raise DataError(f"{folder} holds several data sets, {there}: give the file of the one that is meant")
    if not found:
        raise DataError(f"{folder} has no {ANNOTATIONS}; {EXPECTED}. {_what_is_there(folder)}")
    return found[0]


def _find_json(folder: pathlib.Path) -> Place | None:
    file = folder / ANNOTATIONS
    if not file.is_file():
        return None
    found = "manifest" if sniffing.format_of(file) == "manifest" else "json"
    return Place(found, file, (folder / IMAGES, folder))


def _find_image_json(folder: pathlib.Path) -> Place | None:
    if (folder / ANNOTATIONS).is_file():
        return None
    channel = pathlib.Path(os.path.abspath(folder) + CHANNEL_SUFFIX)
    for place, images in (
        (channel, (folder, folder.parent)),
        (folder / "annotations", (folder / IMAGES, folder)),
        (folder, (folder, folder / IMAGES)),
    ):
        # To look through a folder that holds images as well would take long.
        if place.is_dir() and _any_is(place, "*.json", "image_json", deep=place != folder):
            return Place("image_json", place, images)
    return None


def _find_voc(folder: pathlib.Path) -> Place | None:
    for place in (folder / VOC_ANNOTATIONS, folder / VOC_ANNOTATIONS.lower(), folder):
        if place.is_dir() and _any_is(place, "*.xml", "voc", deep=place != folder):
            return Place("voc", place, (*_voc_images(folder), place))
    return None


def _voc_images(root: pathlib.Path) -> tuple[pathlib.Path, ...]:
    return root / VOC_IMAGES, root / IMAGES, root


def _find_recordio(folder: pathlib.Path) -> Place | None:
    files = _files(folder, "recordio", "*.rec")
    if not files:
        return None
    return Place("recordio", _only(files, folder), (folder,))


def _find_list(folder: pathlib.Path) -> Place | None:
    files = [] if _files(folder, "recordio", "*.rec") else _files(folder, "lst", "*.lst")
    return Place("lst", _only(files, folder), (folder / IMAGES, folder)) if files else None


def _find_manifest(folder: pathlib.Path) -> Place | None:
    files = _files(folder, "manifest", "*.manifest", "*.jsonl")
    return Place("manifest", _only(files, folder), (folder,)) if files else None


def _find_tfrecord(folder: pathlib.Path) -> Place | None:
    files = _files(folder, "tfrecord", "*.tfrecord", "*.tfrecords", "*.record", "*-of-?????")
    sets = {
        file.name.rpartition("-of-")[0].rpartition("-")[0] if sniffing.shards_of(file.name) else file.name: file
        for file in files[::-1]
    }
    return Place("tfrecord", _only(list(sets.values()), folder), (folder,)) if files else None


_FINDERS: tuple[Callable[[pathlib.Path], Place | None], ...] = (
    _find_json,
    _find_image_json,
    _find_manifest,
    _find_recordio,
    _find_list,
    _find_tfrecord,
    _find_voc,
)


def _files(folder: pathlib.Path, wanted: str, *patterns: str) -> list[pathlib.Path]:
    files = sorted(file for pattern in patterns for file in folder.glob(pattern) if file.is_file())
    return [file for file in files if sniffing.format_of(file) == wanted]


def _any_is(folder: pathlib.Path, pattern: str, wanted: str, *, deep: bool = True) -> bool:
    """Whether one of the first files with such a name, in this folder or one in it, is of the format."""
    found = folder.rglob(pattern) if deep else folder.glob(pattern)
    files = itertools.islice((file for file in found if file.is_file()), _PROBED)
    return any(sniffing.format_of(file) == wanted for file in files)


def _only(files: list[pathlib.Path], folder: pathlib.Path) -> pathlib.Path:
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise DataError(f"{folder} holds {len(files)} data sets of one format: give the file that is meant, of {names}")
    return files[0]


def _what_is_there(place: pathlib.Path) -> str:
    names = names_in(place)
    parts = [name for name in names if (place / name / ANNOTATIONS).is_file()]
    if parts:
        return f"There is one in {', '.join(parts[:5])}: pass that folder"
    json_files = sorted(str(file.relative_to(place)) for file in [*place.glob("*.json"), *place.glob("*/*.json")])
    if json_files:
        return f"There is {', '.join(json_files[:5])}: if that is it, pass the file instead of the folder"
    return _listing(place)


def _listing(place: pathlib.Path) -> str:
    names = names_in(place)
    return f"It holds {', '.join(names[:8]) + (', ...' if len(names) > 8 else '')}" if names else "It is empty"


def names_in(folder: pathlib.Path) -> list[str]:
    """What a folder holds, sorted."""
    return sorted(os.listdir(folder))
