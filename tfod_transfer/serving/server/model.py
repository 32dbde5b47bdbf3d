"""The artifact's detector as the server runs it: warmed up, with a row in TF Serving's form for each image."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from PIL import Image

from tfod_transfer import errors
from tfod_transfer.serving.loaded import LoadedDetector
from tfod_transfer.serving.server.batching import Row

_OUTPUTS = ("normalized_boxes", "classes", "scores", "labels", "status")


class ServedModel:
    """A LoadedDetector that gives rows."""

    def __init__(self, saved_model: str | os.PathLike[str]) -> None:
        """Loads a SavedModel folder."""
        self._folder = saved_model
        self._detector = LoadedDetector(saved_model)
        self._blank: Row = {}

    def warm_up(self, size: int, batch_sizes: Sequence[int]) -> None:
        """Runs gray squares of `size` pixels, so that nobody's request is the one that waits for TensorFlow.

        Raises:
          ArtifactError: the SavedModel is of an earlier version, which fails on a batch for one bad image in it.
        """
        square = io.BytesIO()
        Image.new("RGB", (size, size), (128, 128, 128)).save(square, "JPEG")
        outputs: dict[str, npt.NDArray[Any]] = {}
        for batch_size in batch_sizes:
            outputs = self._detector.answer([square.getvalue()] * batch_size)
        missing = [name for name in _OUTPUTS if name not in outputs]
        if missing:
            raise errors.ArtifactError(f"{self._folder} does not give {', '.join(missing)}; export the model again.")
        (self._blank,) = _rows(self._detector.answer([b""]))

    def __call__(self, images: Sequence[bytes]) -> list[Row]:
        """Returns a row for each image; one that does not decode has a `status`, a sentence, and scores of 0."""
        return _rows(self._detector.answer(images))

    def blank(self, status: str) -> Row:
        """The row of an image that the model is not to see, as it answers a bad one."""
        return {**self._blank, "status": status}


def _rows(outputs: dict[str, npt.NDArray[Any]]) -> list[Row]:
    columns = {name: outputs[name].tolist() for name in ("normalized_boxes", "classes", "scores")}
    if "image_size" in outputs:  # SavedModels of earlier versions do not tell
        columns["image_size"] = outputs["image_size"].tolist()
    columns["labels"] = [[label.decode() for label in labels] for labels in outputs["labels"].tolist()]
    columns["status"] = [status.decode() for status in outputs["status"].tolist()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
