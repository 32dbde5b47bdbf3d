"""The images of a data set, decoded, upright and at the model's size: what batches are made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer import cli, errors
from tfod_transfer.data import addresses, cache, decode, resize
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.registry import ModelSpec


class Source(Protocol):
    """What `InputPipeline` makes batches from: something for each row of a data set.

    Attributes:
      description: a sentence on where it is kept, and why.
      nothing: what stands for an image where a batch is filled up.
    """

    description: str
    nothing: Any

    def image(self, row: tf.Tensor) -> Any:
        """Returns what there is for a row, int64 scalar; used inside tf.data."""

    def explain(self, error: tf.errors.OpError) -> None:
        """Raises a better error in place of one that tf.data raised, if this source was its cause."""


class ImageSource:
    """Gives the image of any row of a data set, inside tf.data; decodes it unless the cache has it.

    Attributes:
      dtype: of the images.
      description: a sentence on where decoded images are kept, and why.
      nothing: a black image.
    """

    def __init__(
        self, dataset: DetectionDataset, spec: ModelSpec, dtype: tf.DType, hyperparameters: Hyperparameters
    ) -> None:
        """Args: the data set; the model, for its resize; uint8 (rounded) or float32 (exact); the kind of cache."""
        self._dataset = dataset
        self._spec = spec
        self.dtype = dtype
        self._cache_dir = hyperparameters.cache_dir
        self._shape = (spec.input_size, spec.input_size, 3)
        what = f"decoded images of {spec.input_size} x {spec.input_size} pixels"
        with tf.device("CPU:0"):  # where tf.data works, also when there is a GPU
            self._read = reader(dataset.image_paths)
            self._orientations = tf.constant(dataset.orientations, tf.int32)
            self._is_unfinished = tf.Variable(tf.zeros([len(dataset)], tf.bool), trainable=False)
            self.nothing = tf.zeros(self._shape, dtype)
            self._store, self.description = cache.open_store(
                hyperparameters.cache,
                hyperparameters.cache_dir,
                what,
                len(dataset),
                self._shape,
                dtype,
                lambda row: identity(dataset, row, spec),
            )

    def image(self, row: tf.Tensor) -> tf.Tensor:
        """Returns the image of a row, int64 scalar, as [S, S, 3]."""
        stored = self._store.read(row)
        image = tf.cond(tf.size(stored) > 0, lambda: stored, lambda: self._decode_and_store(row))
        return tf.ensure_shape(image, self._shape)

    def explain(self, error: tf.errors.OpError) -> None:
        """Raises a better error in place of one that tf.data raised, if a file of this source was its cause.

        Raises:
          DataError: an image file is missing or does not decode.
          UsageError: a decoded image cannot be written to the cache.
        """
        for row in np.flatnonzero(self._is_unfinished.numpy()):
            try:
                self._decode(tf.constant(row))
            except (tf.errors.OpError, OSError) as cause:
                found = cli.describe_os_error(cause) if isinstance(cause, OSError) else cli.describe_tf_error(cause)
                raise errors.DataError(
                    f"{self._dataset.image_paths[row]}: expected an image that decodes; {found}. "
                    "Put the file right or take it out of the data."
                ) from None
        if self._cache_dir and self._cache_dir in error.message:
            raise errors.UsageError(
                f"cache_dir: {cli.describe_tf_error(error)}. Free some space, or choose another folder or cache=none."
            ) from None

    def _decode_and_store(self, row: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([cache.set_row(self._is_unfinished, row, True)]):
            image = self._decode(row)
        with tf.control_dependencies([image]):
            done = cache.set_row(self._is_unfinished, row, False)
        with tf.control_dependencies([done, self._store.write(row, image)]):
            return tf.identity(image)

    def _decode(self, row: tf.Tensor) -> tf.Tensor:
        image = decode.decode_image(self._read(row))
        image = resize.resize(decode.orient(image, self._orientations[row]), self._spec)
        return resize.to_uint8(image) if self.dtype == tf.uint8 else image


def identity(dataset: DetectionDataset, row: int, spec: ModelSpec) -> str:
    """All that the decoded image of a row depends on, besides its shape and type.

    Raises:
      OSError: the file cannot be found.
    """
    file = f"{addresses.state(dataset.image_paths[row])}\n{dataset.orientations[row]}"
    return f"{file}\n{resize.identity(spec)}\n{tf.__version__}"


def reader(paths: Sequence[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function that reads the image of a row, int64 scalar, as a string scalar, inside tf.data.

    Images in files of their own are read by TensorFlow. It has no op that reads a part of a file (a data set of one
    record takes five milliseconds to open), so that Python reads those.
    """
    given = tf.constant([os.fsencode(path) for path in paths])
    if not any(addresses.parse(path).segments for path in paths):
        return lambda row: tf.io.read_file(given[row])

    def read(address: bytes | npt.NDArray[np.object_]) -> bytes:  # an array outside of a tf.function
        return addresses.read(os.fsdecode(np.asarray(address).item()))

    return lambda row: tf.ensure_shape(tf.numpy_function(read, [given[row]], tf.string, stateful=False), [])
