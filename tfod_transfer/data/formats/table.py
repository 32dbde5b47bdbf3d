"""The readers of all formats."""

from __future__ import annotations

from collections.abc import Callable

from tfod_transfer.data.formats import coco_json, image_json, image_lists, manifest, recordio, tfrecord, voc
from tfod_transfer.data.formats.places import Place
from tfod_transfer.data.formats.records import Records

READERS: dict[str, Callable[[Place], Records]] = {
    "json": coco_json.read,
    "image_json": image_json.read,
    "manifest": manifest.read,
    "recordio": recordio.read,
    "lst": image_lists.read_list,
    "tfrecord": tfrecord.read,
    "voc": voc.read,
}
