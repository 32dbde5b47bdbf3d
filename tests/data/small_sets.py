"""Small data sets whose images are files, and what of two of them is the same."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tfod_transfer.data.dataset import DetectionDataset

WIDTH, HEIGHT = 64, 48
COLUMNS = ("sizes", "orientations", "boxes", "classes", "is_crowd", "offsets", "class_names")
Box = tuple[float, float, float, float]


def encoded(number: int, kind: str = "PNG", size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int = 1) -> bytes:
    """An image of one colour, another for each number."""
    exif = Image.Exif()
    if orientation > 1:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", size, (number * 40 % 256, number * 7 % 256, 90)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def write(
    folder: pathlib.Path,
    boxes: Sequence[Sequence[Box]],
    *,
    classes: Sequence[Sequence[int]] | None = None,
    crowds: Sequence[Sequence[bool]] | None = None,
    class_names: Sequence[str] = ("cell",),
    category_ids: Sequence[int | str] = (0,),
    names: Sequence[str] | None = None,
    image_ids: Sequence[int | str] | None = None,
) -> DetectionDataset:
    """Images `000.png`, ... with corners in pixels [xmin, ymin, xmax, ymax]; columns as a reader makes them."""
    count = len(boxes)
    names = [f"{number:03d}.png" for number in range(count)] if names is None else names
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number, "JPEG" if path.suffix == ".jpg" else "PNG"))
    corners = np.array([box for each in boxes for box in each], np.float64).reshape(-1, 4)
    flat = [label for each in classes for label in each] if classes is not None else [0] * len(corners)
    crowd = [each for image in crowds for each in image] if crowds is not None else [False] * len(corners)
    return DetectionDataset(
        image_paths=[str(path) for path in paths],
        image_ids=list(range(count)) if image_ids is None else list(image_ids),
        sizes=np.tile(np.array([[HEIGHT, WIDTH]], np.int32), (count, 1)),
        orientations=np.ones(count, np.uint8),
        boxes=(corners[:, [1, 0, 3, 2]] / [HEIGHT, WIDTH, HEIGHT, WIDTH]).astype(np.float32),
        classes=np.array(flat, np.int32),
        is_crowd=np.array(crowd, np.bool_),
        offsets=np.concatenate([[0], np.cumsum([len(each) for each in boxes])]).astype(np.int64),
        class_names=tuple(class_names),
        category_ids=tuple(category_ids),
    )


def assert_same(one: DetectionDataset, other: DetectionDataset, columns: Sequence[str] = COLUMNS) -> None:
    for column in columns:
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column), err_msg=column)
