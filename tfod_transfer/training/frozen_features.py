"""What a detector's frozen part makes of images, computed once for each when the class layers alone train.

It is a constant of an image that is not augmented: a training step is then left with the class layers, the targets and
the losses, a validation with these and the detections. It is kept by the rules of data/cache.py and computed before the
first batch, in groups of images that are the same in every run, so that a run that resumes computes the same numbers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfod_transfer import cli, errors
from tfod_transfer.data import cache, images
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.pipeline import Batch, InputPipeline
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.modeling.detector import Detector, FrozenPart, trainable_variables_for

Report = Callable[[str], None]

_SECONDS_BETWEEN_REPORTS = 10.0


def input_pipeline(
    detector: Detector, dataset: DetectionDataset, hyperparameters: Hyperparameters, report: Report
) -> InputPipeline:
    """The batches of a data set, with features in place of images where these can be kept.

    Args:
      detector: has the weights that training starts from before batches are asked for.
      dataset: the images.
      hyperparameters: of the run.
      report: called with a line now and then while features are computed.
    """
    if not hyperparameters.train_only_on_top_layer:
        return InputPipeline(dataset, detector.spec, hyperparameters)
    return FeaturePipeline(detector, dataset, hyperparameters, report)


class FeaturePipeline(InputPipeline):
    """As an InputPipeline, but where features can be kept, batches have `features`, a FrozenPart, and no `images`."""

    def __init__(
        self, detector: Detector, dataset: DetectionDataset, hyperparameters: Hyperparameters, report: Report
    ) -> None:
        """Takes what `input_pipeline` takes."""
        super().__init__(dataset, detector.spec, hyperparameters)
        self._detector = detector
        self._report = report
        self._reasons: list[str] = []

    @property
    def cache_descriptions(self) -> list[str]:
        """Where features and images are kept, a sentence for each kind of batches made so far, and why not."""
        return [*self._reasons, *super().cache_descriptions]

    def _source(self, dtype: tf.DType) -> images.Source:
        if dtype not in self._sources:
            source, reason = self._feature_source(dtype)
            if source is None:
                self._reasons.append(f"{reason}: every step computes them anew")
                return super()._source(dtype)
            self._sources[dtype] = source
        return self._sources[dtype]

    def _feature_source(self, dtype: tf.DType) -> tuple[FeatureSource | None, str]:
        """Features of all images, computed; or None, and why they are not kept."""
        augmentation = self._hyperparameters.augmentation
        if not self._hyperparameters.freeze_batch_norm:
            return None, "features change with the batch-norm statistics (freeze_batch_norm False)"
        if dtype == tf.uint8 and augmentation != "none":  # the type of training images
            return None, (
                f"features change with augmentation {augmentation} (with augmentation none, computed once: epochs "
                "of the 320 model were 4 times as fast)"
            )
        source = FeatureSource(self._detector, self._dataset, dtype, self._hyperparameters)
        if not source.is_kept:
            return None, source.description
        source.compute(self._report)
        return source, ""

    def _batchable(self, *arguments: Any) -> Batch:
        batch = super()._batchable(*arguments)
        if isinstance(batch["images"], FrozenPart):
            batch["features"] = batch.pop("images")
        return batch


class FeatureSource:
    """Gives the features of any row of a data set, inside tf.data, once they are computed.

    Attributes:
      is_kept: whether there is a place for them.
      description: a sentence on where they are kept, and why.
      nothing: features of zeros, in place of a padding image's.
    """

    def __init__(
        self, detector: Detector, dataset: DetectionDataset, dtype: tf.DType, hyperparameters: Hyperparameters
    ) -> None:
        """Args: the detector; the images; uint8 (rounded) or float32 (exact) images; batch size and kind of cache."""
        self._dataset = dataset
        self._spec = detector.spec
        self._image_dtype = dtype
        self._hyperparameters = hyperparameters
        size = self._spec.input_size
        inputs = tf.TensorSpec([hyperparameters.batch_size, size, size, 3], dtype)
        self._frozen_part = tf.function(
            lambda batch: detector.frozen_part(batch), input_signature=[inputs], autograph=False
        )
        outputs = self._frozen_part.get_concrete_function().structured_outputs
        with tf.device("CPU:0"):  # where tf.data works, also when there is a GPU
            self.nothing = tf.nest.map_structure(lambda x: tf.zeros(x.shape[1:], x.dtype), outputs)
            self._sizes = [part.shape.num_elements() for part in tf.nest.flatten(self.nothing)]
            self._store, self.description = self._opened(detector)
        self.is_kept = type(self._store) is not cache.ImageStore

    def image(self, row: tf.Tensor) -> FrozenPart:
        """Returns the features of the image of a row, int64 scalar, without a batch dimension."""
        packed = self._store.read(row)
        message = f"{self._hyperparameters.cache_dir}: features are damaged"
        with tf.control_dependencies([tf.debugging.assert_equal(tf.size(packed), sum(self._sizes), message)]):
            parts = tf.split(tf.reshape(packed, [-1]), self._sizes)
        shaped = [tf.reshape(part, like.shape) for part, like in zip(parts, tf.nest.flatten(self.nothing), strict=True)]
        return tf.nest.pack_sequence_as(self.nothing, shaped)

    def compute(self, report: Report) -> None:
        """Computes the features that are not stored yet.

        Args:
          report: called with a line every ten seconds.

        Raises:
          DataError: an image file is missing or does not decode.
          UsageError: features cannot be written to the cache.
        """
        batch_size, count = self._hyperparameters.batch_size, len(self._dataset)
        # Whole groups, since what a network makes of an image may differ by rounding in other company.
        missing = {row for row in range(count) if not self._store.holds(row)}
        groups = {row // batch_size for row in missing}
        rows = [row for row in range(count) if row // batch_size in groups]
        if not rows:
            return
        pictures = InputPipeline(
            self._dataset.select(rows), self._spec, dataclasses.replace(self._hyperparameters, cache="none")
        )
        done, reported = 0, time.monotonic()
        try:
            with pictures.naming_files():
                for batch in pictures.eval_batches(exact=self._image_dtype == tf.float32):
                    self._store_batch(batch, rows[done : done + batch_size], missing)
                    done = min(done + batch_size, len(rows))
                    if time.monotonic() - reported >= _SECONDS_BETWEEN_REPORTS:
                        report(f"features of {done} of {len(rows)} images are computed")
                        reported = time.monotonic()
        except tf.errors.OpError as error:
            self.explain(error)
            raise

    def explain(self, error: tf.errors.OpError) -> None:
        """Raises a better error in place of one that TensorFlow raised, if the cache was its cause.

        Raises:
          UsageError: features cannot be written to the cache, or read.
        """
        folder = self._hyperparameters.cache_dir
        if folder and folder in error.message:
            raise errors.UsageError(
                f"cache_dir: {cli.describe_tf_error(error)}. Free some space and start again, what is missing "
                "is then computed; or choose another folder or cache=none."
            ) from None

    def _store_batch(self, batch: Batch, rows: list[int], missing: set[int]) -> None:
        parts = tf.nest.flatten(self._frozen_part(batch["images"]))
        with tf.device("CPU:0"):
            packed = tf.concat([tf.reshape(part, [part.shape[0], -1]) for part in parts], axis=1)
            for row, features in zip(rows, packed, strict=False):  # padding images have no row
                if row in missing:
                    self._store.write(tf.constant(row, tf.int64), features)

    def _opened(self, detector: Detector) -> tuple[cache.ImageStore, str]:
        settings = self._hyperparameters
        made_by = f"{_fingerprint(detector)}\n{settings.batch_size}\n{self._image_dtype.name}"
        arguments = (
            "images' features",
            len(self._dataset),
            [sum(self._sizes)],
            detector.execution.dtype,  # of all parts: nothing is lost
            lambda row: f"{images.identity(self._dataset, row, self._spec)}\n{made_by}",
        )
        try:
            return cache.open_store(settings.cache, settings.cache_dir, *arguments)
        except errors.UsageError as error:  # the kind of cache that was asked for has no room, perhaps for images alone
            return cache.ImageStore(detector.execution.dtype), str(error).rstrip(".")


def _fingerprint(detector: Detector) -> str:
    """A text that differs between detectors whose frozen parts may differ."""
    top = {id(variable) for variable in trainable_variables_for(detector, only_top=True)}
    digest = hashlib.blake2b()
    for key, variable in sorted(detector.checkpoint_variables().items()):
        if id(variable) not in top:
            digest.update(key.encode() + variable.numpy().tobytes())
    return f"{digest.hexdigest()}\n{detector.spec}\n{detector.execution}"
