"""Runs a target in its own runtime, on image files, as `serving.loaded.LoadedDetector` runs a SavedModel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tfod_transfer import errors
from tfod_transfer.data.image_files import DEFAULT_MAX_PIXELS
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.targets import calibration, options
from tfod_transfer.targets.calibration import Pixels
from tfod_transfer.targets.metadata import INPUT, OUTPUTS, Target
from tfod_transfer.targets.quiet import quiet

Answer = dict[str, npt.NDArray[np.float32]]


class Runtime(Protocol):
    """A loaded model file."""

    def __call__(self, image: Pixels) -> Answer:
        """What the model gives for an image, uint8 [1, H, W, 3], by the names of `metadata.OUTPUTS`."""


class TargetDetector:
    """A target, loaded."""

    def __init__(self, runtime: Runtime, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self._runtime, self._max_pixels = runtime, max_pixels

    def detect_files(self, paths: Sequence[str]) -> Iterator[ImageDetections]:
        """Yields the detections of each file, arrays with a first dimension of 1.

        Raises:
          DataError: one of them cannot be decoded; names it.
        """
        for image in calibration.pixels(paths, self._max_pixels):
            answer = self._runtime(image)
            yield ImageDetections(
                boxes=answer["detection_boxes"],
                classes=answer["detection_classes"].astype(np.int32) - 1,
                scores=answer["detection_scores"],
            )


class TfliteRuntime:
    """TensorFlow Lite's interpreter."""

    def __init__(self, model: str, threads: int = 1) -> None:
        """Loads a file; further threads wait in a loop, which is slower wherever the processor has other work."""
        import tensorflow as tf

        with quiet():  # it tells of its delegate
            self._interpreter = tf.lite.Interpreter(model, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        details: dict[str, Any] = {each["name"]: each["index"] for each in self._interpreter.get_output_details()}
        self._outputs = {name: details[name] for name in OUTPUTS}
        self._shape = tuple(self._interpreter.get_input_details()[0]["shape"])

    def __call__(self, image: Pixels) -> Answer:
        """See `Runtime`."""
        if image.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, image.shape)
            self._interpreter.allocate_tensors()
            self._shape = image.shape
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


class OnnxRuntime:
    """An onnxruntime session on the CPU."""

    def __init__(self, model: str, threads: int = 0) -> None:
        """Loads a file; 0 threads are as many as there are processors."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3  # errors; it warns of its own optimisations
        self._session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def __call__(self, image: Pixels) -> Answer:
        """See `Runtime`."""
        return dict(zip(OUTPUTS, self._session.run(list(OUTPUTS), {INPUT: image}), strict=True))


RUNTIMES: dict[str, Any] = {"tflite": TfliteRuntime, "onnx": OnnxRuntime}


def load(target: Target) -> TargetDetector:
    """Loads a target's model file.

    Raises:
      UsageError: its runtime is not installed.
      ArtifactError: the file is damaged.
    """
    options.require_packages(target.format)
    try:
        runtime = RUNTIMES[target.format](str(target.model_file))
    except Exception as error:  # each runtime raises its own
        reason = str(error).splitlines()[0]
        raise errors.ArtifactError(
            f"{str(target.model_file)!r} cannot be loaded ({reason}); export the model again."
        ) from None
    return TargetDetector(runtime, target.info.max_pixels)
