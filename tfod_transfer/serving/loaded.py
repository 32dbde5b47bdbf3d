"""An exported detector, loaded: what predict, evaluate, the server and the export check run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.data import addresses
from tfod_transfer.evaluation.coco_metrics import ImageDetections


class LoadedDetector:
    """A SavedModel folder, loaded; call it with encoded images."""

    def __init__(self, saved_model: str | os.PathLike[str]) -> None:
        model = tf.saved_model.load(os.fspath(saved_model))
        self._model = model  # a signature does not keep its model's variables alive
        self._signature = model.signatures["serving_default"]
        self._as_zoo = model.signatures.get("detection")  # SavedModels of earlier versions have none

    def __call__(self, images: Sequence[bytes]) -> ImageDetections:
        """Detects objects in encoded images; boxes are normalised [ymin, xmin, ymax, xmax], classes 0-based.

        Raises:
          DataError: one of them cannot be decoded; names it by its place.
        """
        return self._detections(images, [f"image {number}" for number in range(len(images))])

    def answer(self, images: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
        """What the signature `serving_default` gives for encoded images, by name; never fails on a bad one."""
        return {name: tensor.numpy() for name, tensor in self._signature(image_bytes=tf.constant(list(images))).items()}

    def raw_scores(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
        """What the network says of each anchor in RGB images [B, H, W, 3]: [B, A, slots]; None if it does not tell."""
        if self._as_zoo is None:
            return None
        scores: npt.NDArray[np.float32] = self._as_zoo(input_tensor=tf.constant(images))["raw_detection_scores"].numpy()
        return scores

    def detect_files(self, paths: Sequence[str], batch_size: int = 8) -> Iterator[ImageDetections]:
        """Yields the detections of each file (arrays with a first dimension of 1), reading `batch_size` at a time.

        Raises:
          DataError: one of them cannot be decoded; names it.
        """
        for start in range(0, len(paths), batch_size):
            chosen = paths[start : start + batch_size]
            contents = [addresses.read(path) for path in chosen]
            found = self._detections(contents, chosen)
            for i in range(len(contents)):
                yield ImageDetections(found.boxes[i : i + 1], found.classes[i : i + 1], found.scores[i : i + 1])

    def _detections(self, images: Sequence[bytes], names: Sequence[str]) -> ImageDetections:
        outputs = self.answer(images)
        # SavedModels of earlier versions have no status: they fail on a bad image.
        for name, status in zip(names, outputs.get("status", ()), strict=False):
            if status:
                raise errors.DataError(f"{name}: {status.decode()}.")
        return ImageDetections(
            boxes=outputs["normalized_boxes"][..., [1, 0, 3, 2]],
            classes=outputs["classes"].astype(np.int32) - 1,
            scores=outputs["scores"],
        )
