"""The resize of targets against that of training, evaluation and SavedModel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small_backbone import thin_spec

from tfod_transfer.data import resize
from tfod_transfer.registry import ModelSpec
from tfod_transfer.targets import resizing

SPECS = {
    "stretched": thin_spec(),
    "padded": dataclasses.replace(thin_spec(normalization="standardized"), resizer="keep_aspect_ratio"),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param((64, 64), id="the model's own"),
        pytest.param((97, 131), id="landscape"),
        pytest.param((200, 33), id="portrait"),
        pytest.param((7, 9), id="enlarged"),
        pytest.param((1, 1), id="one pixel"),
        pytest.param((500, 2), id="a line"),
    ],
)
def test_it_is_the_resize_of_training(spec: ModelSpec, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.uint8)
    square, content = resizing.into_square(tf.constant(image), spec)
    np.testing.assert_allclose(square[0], resize.resize(tf.constant(image[0]), spec), atol=1e-4)
    np.testing.assert_array_equal(content, resize.windows(tf.constant(size), spec)[2:])
