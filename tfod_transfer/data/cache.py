"""Decoded images, or what a network made of them, kept for later epochs, all of one size: in memory, or in a folder.

A store fills as images are first used and answers by row, so that an order that differs in every epoch, and a run that
resumes at any step, find what is there; tf.data's own `cache` replays one fixed order. Stores are TensorFlow ops only,
since Python inside tf.data waits for the interpreter lock. A store only saves time: what it returns is what decoding
would give.
"""

from __future__ import annotations

import hashlib
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence

import numpy as np
import psutil
import tensorflow as tf

from tfod_transfer import errors

MEMORY_SHARE = 0.5  # of the free memory; the model needs the rest

# Where Linux says how much memory a container may take and has taken (cgroup version 2, then 1).
_CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_DIGEST_DIGITS = 19


class ImageStore:
    """Keeps nothing; the base of the stores that do. Rows are int64 scalars, images tensors of one shape and type."""

    def __init__(self, dtype: tf.DType) -> None:
        self._nothing = tf.zeros([0, 0, 0], dtype)

    def read(self, row: tf.Tensor) -> tf.Tensor:
        """Returns the image of this row, or a tensor of size 0 when it is not stored."""
        return self._nothing

    def write(self, row: tf.Tensor, image: tf.Tensor) -> tf.Operation:
        """Stores the image of this row."""
        return tf.no_op()

    def holds(self, row: int) -> bool:
        """Whether the image of this row is stored, and whole."""
        return int(tf.size(self.read(tf.constant(row, tf.int64)))) > 0


class MemoryStore(ImageStore):
    """One tensor for all images."""

    def __init__(self, num_images: int, shape: Sequence[int], dtype: tf.DType) -> None:
        super().__init__(dtype)
        self._images = tf.Variable(tf.zeros([num_images, *shape], dtype), trainable=False)
        self._is_stored = tf.Variable(tf.zeros([num_images], tf.bool), trainable=False)

    def read(self, row: tf.Tensor) -> tf.Tensor:
        return tf.cond(tf.gather(self._is_stored, row), lambda: tf.gather(self._images, row), lambda: self._nothing)

    def write(self, row: tf.Tensor, image: tf.Tensor) -> tf.Operation:
        with tf.control_dependencies([set_row(self._images, row, image)]):
            return set_row(self._is_stored, row, True)


class DiskStore(ImageStore):
    """One file for each image, named by what it was made from, so that other runs and other splits find it too.

    A file ends with a digest of its content: one that a killed process, a full disk or another process that writes it
    at this moment has left incomplete is not taken for an image but made anew.
    """

    def __init__(
        self, folder: str | os.PathLike[str], identities: Sequence[str], shape: Sequence[int], dtype: tf.DType
    ) -> None:
        """Args: the folder; for each row a text that tells its image from all others; the images' shape and type."""
        super().__init__(dtype)
        keys = [
            hashlib.blake2b(f"{identity}\n{[*shape]}\n{dtype.name}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
            for identity in identities
        ]
        paths = [pathlib.Path(folder) / key[:2] / key[2:] for key in keys]
        self._paths = tf.constant([os.fsencode(path) for path in paths])
        self._is_stored = tf.Variable([path.is_file() for path in paths], trainable=False)
        self.num_missing = int(np.count_nonzero(~self._is_stored.numpy()))

    def read(self, row: tf.Tensor) -> tf.Tensor:
        return tf.cond(tf.gather(self._is_stored, row), lambda: self._read_file(row), lambda: self._nothing)

    def write(self, row: tf.Tensor, image: tf.Tensor) -> tf.Operation:
        body = tf.io.serialize_tensor(image)
        with tf.control_dependencies([tf.io.write_file(self._paths[row], body + _digest(body))]):
            return set_row(self._is_stored, row, True)

    def _read_file(self, row: tf.Tensor) -> tf.Tensor:
        content = tf.io.read_file(self._paths[row])
        split = tf.maximum(tf.strings.length(content) - _DIGEST_DIGITS, 0)
        body, digest = tf.strings.substr(content, 0, split), tf.strings.substr(content, split, _DIGEST_DIGITS)
        return tf.cond(
            digest == _digest(body), lambda: tf.io.parse_tensor(body, self._nothing.dtype), lambda: self._nothing
        )


def open_store(
    mode: str,
    folder: str | os.PathLike[str] | None,
    what: str,
    num_images: int,
    shape: Sequence[int],
    dtype: tf.DType,
    identify: Callable[[int], str],
) -> tuple[ImageStore, str]:
    """Opens the place where images are kept.

    Args:
      mode: "memory", "disk", "none", or "auto": memory when all images fit into half of what is free, else the folder
        when there is one with enough room, else none.
      folder: for the disk.
      what: is kept, in words, e.g. "decoded images of 320 x 320 pixels".
      num_images: how many images there are.
      shape: of an image.
      dtype: of an image.
      identify: gives the text, for a row, that tells its image from all others (see `DiskStore`).

    Returns:
      The store, and a sentence that says what it is and why.

    Raises:
      UsageError: "memory" or "disk" was asked for and there is no room; "disk" without a folder.
      OSError: the folder cannot be made, or an image file cannot be found.
    """
    image_bytes = math.prod(shape) * dtype.size
    images = f"{num_images} {what} ({_size(num_images * image_bytes)})"
    if mode == "none":
        return ImageStore(dtype), f"{images} are not cached"
    room = int(MEMORY_SHARE * available_memory())
    if mode in ("memory", "auto") and num_images * image_bytes <= room:
        return MemoryStore(num_images, shape, dtype), f"{images} are cached in memory"
    reason = f"they may take {_size(room)} of the free memory"
    if mode == "memory":
        raise errors.UsageError(f"cache=memory: {images} do not fit: {reason}. Use cache=disk and a cache_dir.")
    if not folder:
        if mode == "disk":
            raise errors.UsageError(f"cache=disk needs cache_dir, a folder for {what}.")
        return ImageStore(dtype), f"{images} are not cached: {reason}; a cache_dir would keep them on disk"
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    store = DiskStore(folder, [identify(row) for row in range(num_images)], shape, dtype)
    free = shutil.disk_usage(folder).free
    if store.num_missing * image_bytes < free:
        return store, f"{images} are cached in {os.fspath(folder)}"
    reason = f"{os.fspath(folder)} has {_size(free)} free"
    if mode == "disk":
        raise errors.UsageError(f"cache=disk: {images} do not fit: {reason}. Free some space or use cache=auto.")
    return ImageStore(dtype), f"{images} are not cached: {reason}"


def available_memory() -> int:
    """Bytes that this process may still take: what the machine has free, or the container, if that is less."""
    available = int(psutil.virtual_memory().available)
    for limit_file, usage_file in _CGROUP_FILES:
        try:
            limit, usage = pathlib.Path(limit_file).read_text(), pathlib.Path(usage_file).read_text()
            available = min(available, int(limit) - int(usage))
        except (OSError, ValueError):  # not Linux, the other version, or no limit ("max")
            continue
    return max(available, 0)


def set_row(variable: tf.Variable, row: tf.Tensor, value: tf.Tensor | bool) -> tf.Operation:
    """Overwrites one row of a variable, in place."""
    update = tf.IndexedSlices(tf.convert_to_tensor(value, variable.dtype)[tf.newaxis], row[tf.newaxis])
    return variable.scatter_update(update)


def _digest(body: tf.Tensor) -> tf.Tensor:
    number = tf.strings.to_hash_bucket_fast(body, tf.int64.max)
    return tf.strings.as_string(number, width=_DIGEST_DIGITS, fill="0")


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
