"""The artifact's detector as the server runs it: warmed up, with a row in TF Serving's form for each image."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from tfod_transfer import errors
from tfod_transfer.serving.loaded import LoadedDetector
from tfod_transfer.serving.server.batching import Row


class ServedModel:
    """A LoadedDetector that gives rows."""

    def __init__(self, saved_model: str | os.PathLike[str], labels: Sequence[str]) -> None:
        """Loads a SavedModel folder; `labels` is its 1-based list, "N/A" first."""
        self._detector = LoadedDetector(saved_model)
        self._labels = list(labels)
        self._detections = 0

    def warm_up(self, size: int, batch_sizes: Sequence[int]) -> None:
        """Runs gray squares of `size` pixels, so that nobody's request is the one that waits for TensorFlow."""
        square = io.BytesIO()
        Image.new("RGB", (size, size), (128, 128, 128)).save(square, "JPEG")
        for batch_size in batch_sizes:
            self._detections = self._detector([square.getvalue()] * batch_size).scores.shape[1]

    def __call__(self, images: Sequence[bytes]) -> list[Row]:
        """Returns a row for each image; one that does not decode has a `status`, a sentence, and scores of 0."""
        try:
            found = self._detector(images)
        except (tf.errors.InvalidArgumentError, errors.DataError):
            if len(images) > 1:
                return [row for image in images for row in self([image])]
            return [self.blank("this image does not decode; send a whole JPEG or PNG")]
        boxes_xyxy = np.take(found.boxes, [1, 0, 3, 2], axis=-1).tolist()
        columns = zip(boxes_xyxy, (found.classes + 1.0).tolist(), found.scores.tolist(), strict=True)
        return [self._row(*column, "") for column in columns]

    def blank(self, status: str) -> Row:
        """The row of an image in which nothing can be looked for, as the SavedModel gives it."""
        count = self._detections
        return self._row([[0.0] * 4] * count, [1.0] * count, [0.0] * count, status)

    def _row(self, boxes: list[list[float]], classes: list[float], scores: list[float], status: str) -> Row:
        return {
            "normalized_boxes": boxes,
            "classes": classes,
            "scores": scores,
            "labels": self._labels,
            "status": status,
        }
