"""An exported detector, loaded: what predict, evaluate and the export check run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfod_transfer.evaluation.coco_metrics import ImageDetections


class LoadedDetector:
    """A SavedModel folder, loaded; call it with encoded images."""

    def __init__(self, saved_model: str | os.PathLike[str]) -> None:
        model = tf.saved_model.load(os.fspath(saved_model))
        self._model = model  # a signature does not keep its model's variables alive
        self._signature = model.signatures["serving_default"]

    def __call__(self, images: Sequence[bytes]) -> ImageDetections:
        """Detects objects in encoded images; boxes are normalised [ymin, xmin, ymax, xmax], classes 0-based."""
        outputs = self._signature(image_bytes=tf.constant(list(images)))
        boxes_xyxy = outputs["normalized_boxes"].numpy()
        return ImageDetections(
            boxes=boxes_xyxy[..., [1, 0, 3, 2]],
            classes=outputs["classes"].numpy().astype(np.int32) - 1,
            scores=outputs["scores"].numpy(),
        )

    def detect_files(self, paths: Sequence[str], batch_size: int = 8) -> Iterator[ImageDetections]:
        """Yields the detections of each file (arrays with a first dimension of 1), reading `batch_size` at a time."""
        for start in range(0, len(paths), batch_size):
            contents = []
            for path in paths[start : start + batch_size]:
                with open(path, "rb") as file:
                    contents.append(file.read())
            found = self(contents)
            for i in range(len(contents)):
                yield ImageDetections(found.boxes[i : i + 1], found.classes[i : i + 1], found.scores[i : i + 1])
