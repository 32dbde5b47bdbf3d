"""Writers of annotation formats; each writes a data set to a new folder and tells what it cannot hold."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats.places import CHANNEL_SUFFIX
from tfod_transfer.data.writers import image_json, manifest, one_json, recordio, tfrecord, voc
from tfod_transfer.data.writers.target import Settings
from tfod_transfer.errors import DataError

__all__ = ["WRITERS", "Settings", "write"]

WRITERS: dict[str, Callable[[DetectionDataset, pathlib.Path, Settings], list[str]]] = {
    "tf_json": one_json.write_sagemaker,
    "coco": one_json.write_coco,
    "image_json": image_json.write,
    "augmented_manifest": manifest.write,
    "recordio": recordio.write,
    "voc": voc.write,
    "tfrecord": tfrecord.write,
}


def write(dataset: DetectionDataset, folder: pathlib.Path, name: str, settings: Settings) -> list[str]:
    """Writes a data set in the format of this name: whole, or not at all.

    Args:
      dataset: the images and boxes.
      folder: must not be there yet, or be empty. Channels have their annotations in a second folder, beside it.
      name: a key of WRITERS.
      settings: how to write.

    Returns:
      What the format cannot hold, in sentences.

    Raises:
      DataError: there is something in the folder, or the data cannot be written in this format.
      OSError: a file cannot be read or written.
    """
    folder = folder.absolute()
    for place in (folder, folder.with_name(folder.name + CHANNEL_SUFFIX)):
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise DataError(f"{place} is there already: give the name of a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, because a format may take several, with the name that files take from it.
    staging = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    (staging / folder.name).mkdir(parents=True)
    try:
        lost = WRITERS[name](dataset, staging / folder.name, settings)
        for made in sorted(staging.iterdir()):
            place = folder.parent / made.name
            if place.exists():
                place.rmdir()
            made.rename(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return lost
