"""Small images of noise, each in a colour and with a box."""

from __future__ import annotations

import pathlib

import numpy as np
from PIL import Image

from tfod_transfer.data.dataset import DetectionDataset

HEIGHT, WIDTH = 50, 70


def write(folder: pathlib.Path, count: int) -> DetectionDataset:
    """Writes images into a folder; their boxes are of the classes `a` and `b` in turn."""
    generator = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(count)]
    for path in paths:
        pixels = generator.integers(0, 200, 3) + generator.integers(0, 55, (HEIGHT, WIDTH, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return DetectionDataset(
        image_paths=[str(path) for path in paths],
        image_ids=list(range(count)),
        sizes=np.full((count, 2), (HEIGHT, WIDTH), np.int32),
        orientations=np.ones(count, np.uint8),
        boxes=np.tile(np.float32([0.1, 0.2, 0.6, 0.7]), (count, 1)),
        classes=np.arange(count, dtype=np.int32) % 2,
        is_crowd=np.zeros(count, np.bool_),
        offsets=np.arange(count + 1),
        class_names=("a", "b"),
        category_ids=(1, 2),
    )
