"""Decoded images: what integers are calibrated on, and what a target is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer import cli, errors
from tfod_transfer.data import decode, image_files

CALIBRATION_IMAGES = 100

Pixels = npt.NDArray[np.uint8]


def spread(paths: Sequence[str], count: int = CALIBRATION_IMAGES) -> list[str]:
    """`count` of the files, or all where there are fewer, evenly from first to last."""
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[place] for place in places]


def pixels(paths: Sequence[str], max_pixels: int = image_files.DEFAULT_MAX_PIXELS) -> Iterator[Pixels]:
    """Yields each image upright, uint8 [1, H, W, 3], RGB, decoded as training and the SavedModel do.

    Raises:
      DataError: one of them cannot be decoded, or has more than `max_pixels`; names it.
    """
    for path in paths:
        with open(path, "rb") as file:
            contents = file.read()
        header = image_files.check_header(contents, max_pixels=max_pixels)
        if isinstance(header, image_files.ImageProblem):
            raise errors.DataError(f"{path}: {header.message}.")
        try:
            upright = decode.orient(decode.decode_image(tf.constant(contents)), tf.constant(header.orientation))
        except tf.errors.InvalidArgumentError as error:
            raise errors.DataError(f"{path}: {cli.describe_tf_error(error)}.") from None
        yield upright.numpy()[np.newaxis]
