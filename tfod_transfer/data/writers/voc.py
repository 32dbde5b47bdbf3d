"""Writes Pascal VOC's folders: JPEGImages, Annotations, and ImageSets with a list of all images."""

from __future__ import annotations

import pathlib
from xml.etree import ElementTree

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats import image_lists
from tfod_transfer.data.formats.places import VOC_ANNOTATIONS, VOC_IMAGES, VOC_LISTS
from tfod_transfer.data.formats.voc import SIDES
from tfod_transfer.data.writers import target
from tfod_transfer.data.writers.target import Settings

LIST = "trainval.txt"


def write(dataset: DetectionDataset, folder: pathlib.Path, settings: Settings) -> list[str]:
    """Writes the folders and a file with the order of the classes; crowd regions are marked as difficult.

    Raises:
      DataError: a class name cannot be written.
    """
    target.require_lines(dataset.class_names)
    names = target.file_names(dataset, flat=True, unique_stems=True)
    target.copy_images(dataset, names, folder / VOC_IMAGES)
    (folder / VOC_ANNOTATIONS).mkdir()
    corners = target.corners_px(dataset)
    for image, name in enumerate(names):
        height, width = dataset.sizes[image].tolist()
        root = ElementTree.Element("annotation")
        _add(root, "folder", VOC_IMAGES)
        _add(root, "filename", name)
        size = ElementTree.SubElement(root, "size")
        for key, value in (("width", width), ("height", height), ("depth", 3)):
            _add(size, key, value)
        for row in range(*dataset.rows_of(image).indices(dataset.num_boxes)):
            found = ElementTree.SubElement(root, "object")
            _add(found, "name", dataset.class_names[dataset.classes[row]])
            _add(found, "difficult", int(dataset.is_crowd[row]))
            box = ElementTree.SubElement(found, "bndbox")
            for key, value in zip(SIDES, corners[row].tolist(), strict=True):
                _add(box, key, target.plain(value))
        ElementTree.indent(root)
        path = (folder / VOC_ANNOTATIONS / name).with_suffix(".xml")
        path.write_bytes(ElementTree.tostring(root, encoding="utf-8"))
    lists = folder / VOC_LISTS / "Main"
    lists.mkdir(parents=True)
    stems = [pathlib.PurePosixPath(name).stem for name in names]
    (lists / LIST).write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    (folder / image_lists.CLASSES).write_text("".join(f"{name}\n" for name in dataset.class_names), encoding="utf-8")
    return _lost(dataset)


def _add(parent: ElementTree.Element, key: str, value: object) -> None:
    ElementTree.SubElement(parent, key).text = str(value)


def _lost(dataset: DetectionDataset) -> list[str]:
    lost = ["image ids: images are called by their files"]
    if dataset.category_ids != dataset.class_names:
        lost.append(f"category ids: classes are called by their names; their order is in {image_lists.CLASSES}")
    if dataset.is_crowd.any():
        lost.append(f"crowd regions: {int(dataset.is_crowd.sum())} boxes are marked as difficult, which is nearest")
    return lost
