"""Reads Pascal VOC: an XML file for each image, as VOC itself, labelImg and many others write them.

Boxes are taken as corners in pixels, as the Object Detection API takes them; VOC's own count pixels from 1.
"""

from __future__ import annotations

import pathlib
from xml.etree import ElementTree

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats import image_lists, layout
from tfod_transfer.data.formats.building import RecordsBuilder
from tfod_transfer.data.formats.files import lines_of
from tfod_transfer.data.formats.places import CALLED, VOC_ANNOTATIONS, VOC_LISTS, Place
from tfod_transfer.data.formats.records import Records

SIDES = ("xmin", "ymin", "xmax", "ymax")


def read(place: Place) -> Records:
    """Reads a folder of XML files, or those that a list in `ImageSets` names, into columns; opens no image.

    Raises:
      DataError: the list is no text.
      OSError: a file cannot be read.
    """
    builder = RecordsBuilder(place.source, CALLED["voc"], "xyxy")
    files = _files(place.source)
    folder = layout.folder_with_stems(place.folders, [file.stem for file in files])
    images = layout.names_by_stem(folder)
    difficult = 0
    for file in files:
        try:
            root = ElementTree.fromstring(file.read_bytes())
        except FileNotFoundError:
            builder.leave_out("bad_record", str(file), "there is no such file")
            continue
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            builder.leave_out("bad_record", str(file), f"it is not valid XML: {error}")
            continue
        if root.tag != "annotation":
            builder.leave_out("bad_record", str(file), f"expected <annotation>, found <{root.tag}>")
            continue
        difficult += _add(builder, root, file, folder, images)
    if difficult:
        message = f"{difficult} boxes are marked as difficult: as in VOC, they are not trained on and do not count"
        builder.findings.append(Finding("difficult_boxes", str(place.source), message, value=difficult, action="noted"))
    classes = classes_beside(place.source)
    return builder.build((folder,), [(name, name) for name in classes], classes)


def classes_beside(source: pathlib.Path) -> list[str]:
    """Class names in the order that a file beside the annotations, or above them, tells."""
    place = source if source.is_dir() else source.parent
    lines = lines_of(place / image_lists.CLASSES) or lines_of(place.parent / image_lists.CLASSES)
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _files(source: pathlib.Path) -> list[pathlib.Path]:
    if source.is_dir():
        return sorted(source.rglob("*.xml"))
    # ImageSets/Main/train.txt: a name, and in the lists of a single class 1, 0 or -1 for whether it is shown
    root = pathlib.Path(*source.parts[: source.parts.index(VOC_LISTS)])
    names = [line.split()[0] for line in lines_of(source) if line.strip()]
    return [root / VOC_ANNOTATIONS / f"{name}.xml" for name in dict.fromkeys(names)]


def _add(
    builder: RecordsBuilder, root: ElementTree.Element, file: pathlib.Path, folder: pathlib.Path, images: dict[str, str]
) -> int:
    """Adds an image and its boxes; returns how many of them are difficult."""
    size_hw = _number(root, "size/height") or 0, _number(root, "size/width") or 0
    objects = root.findall("object")
    name = _image_name(root, file, folder, images)
    row = builder.add_image(name, str(file), size_hw=size_hw, boxes=len(objects))
    if row is None:
        return 0
    difficult = 0
    for index, found in enumerate(objects):
        name = (found.findtext("name") or "").strip()
        numbers = [_number(found, f"bndbox/{side}") for side in SIDES]
        corners = [number for number in numbers if number is not None]
        if not name or len(corners) < len(SIDES):
            message = f"expected <name> and <bndbox> with {', '.join(SIDES)}, found {name!r} and {numbers}"
            builder.leave_out("bad_record", str(file), message, numbers, box=index)
            continue
        is_difficult = (_number(found, "difficult") or 0) != 0
        difficult += is_difficult
        builder.add_box(row, corners, name, index, is_difficult)
    return difficult


def _image_name(root: ElementTree.Element, file: pathlib.Path, folder: pathlib.Path, images: dict[str, str]) -> str:
    """What the file says, if there is such an image; else the image that is called as the file is."""
    stated = (root.findtext("filename") or "").strip().replace("\\", "/")
    if stated and (folder / stated).is_file():
        return stated
    return images.get(file.stem) or images.get(pathlib.PurePosixPath(stated).stem) or stated or f"{file.stem}.jpg"


def _number(element: ElementTree.Element, path: str) -> float | None:
    try:
        return float(element.findtext(path) or "")
    except ValueError:
        return None
