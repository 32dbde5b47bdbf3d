"""A SavedModel as the Object Detection API exports it: one decoded image in, `detection_*` tensors out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

from tfod_transfer import errors
from tfod_transfer.data import decode
from tfod_transfer.evaluation.coco_metrics import ImageDetections

_OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores")


class ApiSavedModel:
    """A finished model; gives detections as `loaded.LoadedDetector` does, one image at a time as its input wants it."""

    def __init__(self, folder: str, num_classes: int) -> None:
        """Loads a SavedModel folder; `num_classes` counts the slots of its label map.

        Raises:
          ArtifactError: it cannot be loaded, or has other inputs or outputs.
        """
        self._folder, self._num_classes = folder, num_classes
        try:
            self._model = hub.load(folder)  # a signature does not keep its model's variables alive
            self._signature = self._model.signatures["serving_default"]
        except (tf.errors.OpError, ValueError, KeyError, OSError) as error:
            reason = str(error).split("\n", 1)[0]
            raise errors.ArtifactError(f"{folder} cannot be loaded as a SavedModel: {reason}.") from None
        inputs = self._signature.structured_input_signature[1]
        missing = [name for name in _OUTPUTS if name not in self._signature.structured_outputs]
        takes_images = [
            spec.dtype == tf.uint8 and spec.shape.rank == 4 and list(spec.shape[1:3]) == [None, None]
            for spec in inputs.values()
        ] == [True]
        if missing or not takes_images:
            raise errors.ArtifactError(
                f"{folder} is no model of the Object Detection API: expected one uint8 input [1, H, W, 3] and the "
                f"outputs {', '.join(_OUTPUTS)}; found the inputs {_described(inputs)} and the outputs "
                f"{', '.join(sorted(self._signature.structured_outputs))}."
            )
        self._input = next(iter(inputs))

    def detect_files(self, paths: Sequence[str]) -> Iterator[ImageDetections]:
        """Yields the detections of each file: arrays with a first dimension of 1; see `ImageDetections`.

        Raises:
          ArtifactError: the model gives classes that its label map does not have.
        """
        for path in paths:
            with open(path, "rb") as file:
                contents = tf.constant(file.read())
            image = decode.orient(decode.decode_image(contents), decode.exif_orientation(contents))
            outputs = self._signature(**{self._input: image[tf.newaxis]})
            boxes, classes, scores = (outputs[name].numpy() for name in _OUTPUTS)
            classes = classes.astype(np.int32) - 1
            beyond = classes[(scores > 0) & ((classes < 0) | (classes >= self._num_classes))]
            if len(beyond):
                raise errors.ArtifactError(
                    f"{self._folder} gives class {beyond[0] + 1}, but its label map has 1 to {self._num_classes}; "
                    "is it the SavedModel of another model?"
                )
            yield ImageDetections(boxes, classes, scores)


def _described(inputs: dict[str, tf.TensorSpec]) -> str:
    return ", ".join(f"{name} {spec.dtype.name} {spec.shape}" for name, spec in inputs.items()) or "none"
