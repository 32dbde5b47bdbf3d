"""Writes a TFRecord file with the Object Detection API's keys, and its label map."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from tfod_transfer import cli
from tfod_transfer.data import addresses, image_files
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats import tfrecord as keys
from tfod_transfer.data.writers import target
from tfod_transfer.data.writers.target import Settings


def write(dataset: DetectionDataset, folder: pathlib.Path, settings: Settings) -> list[str]:
    """Writes a file called as the folder, and a label map; labels are category ids, where these can be labels."""
    cli.quiet_tensorflow()
    import tensorflow as tf

    labels, lost = list(dataset.category_ids), []
    if not target.are_in_order(labels) or not all(isinstance(key, int) and key > 0 for key in labels):
        labels, lost = list(range(1, dataset.num_classes + 1)), target.not_held_as_numbered(dataset, first=1)
    names = target.file_names(dataset)
    with tf.io.TFRecordWriter(str(folder / f"{folder.name}.tfrecord")) as writer:
        for image, name in enumerate(names):
            values = _values(dataset, image, name, labels)
            features = tf.train.Features(feature={key: _feature(tf, value) for key, value in values.items()})
            writer.write(tf.train.Example(features=features).SerializeToString(deterministic=True))
    items = zip(labels, dataset.class_names, strict=True)
    text = "".join(f"item {{\n  id: {label}\n  name: {json.dumps(name)}\n}}\n" for label, name in items)
    (folder / keys.LABEL_MAP).write_text(text, encoding="utf-8")
    return lost


def _values(dataset: DetectionDataset, image: int, name: str, labels: list[int | str]) -> dict[str, list[Any]]:
    contents = addresses.read(dataset.image_paths[image])
    height, width = dataset.sizes[image].tolist()
    rows = dataset.rows_of(image)
    classes = dataset.classes[rows].tolist()
    sides = dict(zip(keys.SIDES, dataset.boxes[rows][:, [1, 0, 3, 2]].T.tolist(), strict=True))
    return {
        keys.ENCODED: [contents],
        "image/format": [(image_files.sniff(contents[:16]) or "").lower()],
        keys.HEIGHT: [height],
        keys.WIDTH: [width],
        keys.FILE_NAME: [name],
        keys.SOURCE_ID: [str(dataset.image_ids[image])],
        **sides,
        keys.LABEL: [labels[row] for row in classes],
        keys.TEXT: [dataset.class_names[row] for row in classes],
        keys.IS_CROWD: [int(crowd) for crowd in dataset.is_crowd[rows]],
    }


def _feature(tf: Any, values: list[Any]) -> Any:
    if values and isinstance(values[0], (str, bytes)):
        encoded = [value.encode() if isinstance(value, str) else value for value in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
