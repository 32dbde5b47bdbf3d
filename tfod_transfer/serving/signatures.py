"""The exported SavedModel: encoded images or pixels in, boxes in SageMaker's form or in the zoo's out."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfod_transfer.artifact import ModelInfo
from tfod_transfer.data import resize
from tfod_transfer.data.image_files import DEFAULT_MAX_PIXELS
from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.modeling import box_coder, postprocessing
from tfod_transfer.modeling.detector import Detector, DetectorOutput
from tfod_transfer.modeling.layers import Execution
from tfod_transfer.modeling.postprocessing import Detections
from tfod_transfer.serving import description, tolerant, warmup


class ServingModule(tf.Module):
    """A detector with its preprocessing, post-processing and labels, as TF Serving runs it."""

    def __init__(
        self,
        detector: Detector,
        labels: Sequence[str],
        dtype: tf.DType = tf.float32,
        options: DetectionOptions | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Sets up the signatures, which are traced when they are saved.

        Args:
          detector: the detector.
          labels: its 1-based label list, "N/A" first.
          dtype: what its convolutions compute in.
          options: how detections are picked; by default as the zoo does.
          max_pixels: encoded images with more are refused.
        """
        super().__init__(name="serving")
        # Behind a function, Keras's own tracking of every layer stays out: a third of the time to save and to load.
        self._get_detector: Callable[[], Detector] = lambda: detector
        self._execution = Execution(dtype, constant_weights=True)
        self._labels = list(labels)
        self._options = options or DetectionOptions()
        self._max_pixels = max_pixels
        self.assets: list[tf.saved_model.Asset] = []  # whatever a module holds is saved with it
        size = detector.spec.input_size
        # One function for all signatures, so that the file holds the weights once.
        self._network = tf.function(
            self._run, input_signature=[tf.TensorSpec([None, size, size, 3], tf.float32)], autograph=False
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False)
    def detect_encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detects objects in encoded images of any size; signature `serving_default`.

        Args:
          image_bytes: string [B]: JPEG or PNG; also what else TensorFlow decodes.

        Returns:
          normalized_boxes [B, N, 4] (xmin, ymin, xmax, ymax) relative to the upright image, classes [B, N] (1-based,
          float), scores [B, N] (highest first, 0 at padding), labels [B, K + 1] (the whole list:
          `labels[b][int(class)]`), image_size [B, 2] (height, width of the upright image) and status [B]: ""
          for a good image, else a sentence; its scores are then 0.
        """
        prepared = tolerant.prepare(image_bytes, self._get_detector().spec, self._max_pixels)
        found = self._detect(self._network(prepared.images), prepared.windows)
        return self._answer(found, prepared.sizes, prepared.status)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")], autograph=False)
    def detect_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detects objects in decoded, upright images; signature `image_tensor`.

        Args:
          images: uint8 [B, H, W, 3], RGB, of any height and width.

        Returns:
          What `detect_encoded` does.
        """
        squares, windows = self._resized(images)
        sizes, status = _sizes(images), tf.fill([tf.shape(images)[0]], "")
        return self._answer(self._detect(self._network(squares), windows), sizes, status)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="input_tensor")], autograph=False)
    def detect_as_zoo(self, input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        """The same under the names of the zoo's SavedModels, all float32; signature `detection`.

        Args:
          input_tensor: uint8 [B, H, W, 3], RGB, of any height and width.

        Returns:
          detection_boxes [B, N, 4] (ymin, xmin, ymax, xmax), detection_classes [B, N] (1-based, 1 at padding),
          detection_scores [B, N], num_detections [B]; detection_multiclass_scores [B, N, slots] and
          detection_anchor_indices [B, N], all scores of each box and its anchor; raw_detection_boxes [B, A, 4], before
          suppression, relative to the network's square, and raw_detection_scores [B, A, slots]. Slots are the classes,
          behind one for the background where the architecture has it.
        """
        detector = self._get_detector()
        squares, windows = self._resized(input_tensor)
        output = DetectorOutput(*self._network(squares))
        found = self._detect(output, windows, with_anchors=True)
        raw_scores = postprocessing.slot_scores(output.class_logits, detector.spec)
        present = (found.scores > 0)[..., tf.newaxis]
        return {
            "detection_anchor_indices": tf.cast(found.anchors, tf.float32),
            "detection_boxes": found.boxes,
            "detection_classes": tf.cast(found.classes, tf.float32) + 1.0,
            "detection_multiclass_scores": tf.where(present, tf.gather(raw_scores, found.anchors, batch_dims=1), 0.0),
            "detection_scores": found.scores,
            "num_detections": tf.cast(found.num_detections, tf.float32),
            "raw_detection_boxes": box_coder.decode(
                output.box_encodings, detector.anchors, detector.spec.structure.box_coder_scales
            ),
            "raw_detection_scores": raw_scores,
        }

    def described(self) -> description.Description:
        """What the SavedModel says of itself."""
        spec, precision = self._get_detector().spec, self._execution.dtype.name
        return description.Description(spec, self._labels, self._options, self._max_pixels, precision)

    def _run(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        detector = self._get_detector()
        # Constants may be laid out for the processor when the model is loaded: a fifth less time than with variables.
        with detector.execution.changed_to(self._execution):
            output = detector(images, training=False)
        return output.box_encodings, output.class_logits

    def _resized(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The detector's input [B, S, S, 3], and the part [B, 4] of it that is image."""
        spec = self._get_detector().spec
        square = tf.TensorSpec([spec.input_size, spec.input_size, 3], tf.float32)
        squares = tf.map_fn(lambda image: resize.resize(image, spec), images, fn_output_signature=square)
        return squares, resize.windows(_sizes(images), spec)

    def _detect(
        self, output: tuple[tf.Tensor, tf.Tensor], windows: tf.Tensor, with_anchors: bool = False
    ) -> Detections:
        detector = self._get_detector()
        return postprocessing.detect(
            DetectorOutput(*output),
            detector.anchors,
            detector.spec,
            windows=windows,
            with_anchors=with_anchors,
            **self._options.to_dict(),
        )

    def _answer(self, found: Detections, sizes: tf.Tensor, status: tf.Tensor) -> dict[str, tf.Tensor]:
        """SageMaker's form; a bad image has nothing but padding."""
        good = (status == "")[:, tf.newaxis]
        return {
            "normalized_boxes": tf.where(good[..., tf.newaxis], tf.gather(found.boxes, [1, 0, 3, 2], axis=-1), 0.0),
            "classes": tf.where(good, tf.cast(found.classes, tf.float32) + 1.0, 1.0),
            "scores": tf.where(good, found.scores, 0.0),
            "labels": tf.repeat(tf.constant(self._labels)[tf.newaxis], tf.shape(status)[0], axis=0),
            "image_size": sizes,
            "status": status,
        }


def _sizes(images: tf.Tensor) -> tf.Tensor:
    """Height and width of each image of a batch: int32 [B, 2]."""
    return tf.repeat(tf.shape(images)[tf.newaxis, 1:3], tf.shape(images)[0], axis=0)


def serving_module(detector: Detector, info: ModelInfo) -> ServingModule:
    """The module of an artifact that says `info` of itself."""
    return ServingModule(detector, info.labels, tf.as_dtype(info.precision), info.detection, info.max_pixels)


def save(module: ServingModule, folder: str | os.PathLike[str]) -> None:
    """Writes the SavedModel: three signatures, its description as assets, and requests that warm it up."""
    signatures = {
        "serving_default": module.detect_encoded,
        "image_tensor": module.detect_pixels,
        "detection": module.detect_as_zoo,
    }
    with tempfile.TemporaryDirectory(prefix="tfod_transfer-") as scratch:
        files = description.write(pathlib.Path(scratch), module.described())
        module.assets = [tf.saved_model.Asset(str(file)) for file in files]
        tf.saved_model.save(module, os.fspath(folder), signatures=signatures)
    warmup.write(folder)
