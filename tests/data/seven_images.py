"""Seven small images, and what tests of batches have in common."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfod_transfer import hyperparameters, registry
from tfod_transfer.data import resize
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.pipeline import InputPipeline

SIZE = 32
NUM_IMAGES = 7
SPEC = dataclasses.replace(
    registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"), input_size=SIZE
)
PADDED = dataclasses.replace(
    registry.load_registry().get("tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8"), input_size=SIZE
)


def write(folder: pathlib.Path) -> DetectionDataset:
    """Seven images of different sizes; image i has i boxes, the last of image 5 a crowd; image 3 is stored turned."""
    generator = np.random.default_rng(0)
    paths, sizes, boxes, classes = [], [], [], []
    for i in range(NUM_IMAGES):
        height, width = 40 + 7 * i, 90 - 5 * i
        path = folder / f"{i}.{'png' if i % 2 else 'jpg'}"
        stored = (width, height) if i == 3 else (height, width)
        Image.fromarray(generator.integers(0, 256, (*stored, 3), np.uint8)).save(path)
        paths.append(str(path))
        sizes.append((height, width))
        corners = np.sort(generator.uniform(0, 1, (i, 2, 2)), axis=1)
        boxes.append(corners.reshape(-1, 4))
        classes.append(np.arange(i))
    offsets = np.concatenate([[0], np.cumsum([len(b) for b in boxes])]).astype(np.int64)
    is_crowd = np.zeros(offsets[-1], np.bool_)
    is_crowd[offsets[6] - 1] = True
    return DetectionDataset(
        image_paths=paths,
        image_ids=list(range(NUM_IMAGES)),
        sizes=np.array(sizes, np.int32),
        orientations=np.array([6 if i == 3 else 1 for i in range(NUM_IMAGES)], np.uint8),
        boxes=np.concatenate(boxes).astype(np.float32),
        classes=np.concatenate(classes).astype(np.int32),
        is_crowd=is_crowd,
        offsets=offsets,
        class_names=tuple("abcdef"),
        category_ids=tuple(range(6)),
    )


def pipeline_of(dataset: DetectionDataset, spec: registry.ModelSpec = SPEC, **settings: Any) -> InputPipeline:
    given = {"batch_size": 3, "seed": 5, "cache": "memory", **settings}
    return InputPipeline(dataset, spec, hyperparameters.resolve(given))


def taken(batches: tf.data.Dataset, count: int) -> list[dict[str, Any]]:
    return list(batches.take(count).as_numpy_iterator())


def assert_same(actual: Iterable[dict[str, Any]], expected: Iterable[dict[str, Any]]) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def exact_image(dataset: DetectionDataset, row: int, spec: registry.ModelSpec) -> np.ndarray:
    pixels = tf.io.decode_image(tf.io.read_file(dataset.image_paths[row]), channels=3)
    pixels = tf.image.rot90(pixels, 3) if dataset.orientations[row] == 6 else pixels  # 6: turn clockwise
    return resize.resize(pixels, spec).numpy()
