from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer import registry
from tfod_transfer.data import normalization, resize
from tfod_transfer.modeling import preprocessing

SIZE = 32
STRETCHED = dataclasses.replace(
    registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"), input_size=SIZE
)
EFFICIENTDET = registry.load_registry().get("tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8")
PADDED = dataclasses.replace(EFFICIENTDET, input_size=SIZE)
MEAN_COLOR = [123.675, 116.28, 103.53]


def slow_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, output pixel i at input i * input side / output side, as in TensorFlow 1."""
    last_row, last_column = image.shape[0] - 1, image.shape[1] - 1
    out = np.zeros((height, width, 3))
    for i in range(height):
        for j in range(width):
            y, x = i * image.shape[0] / height, j * image.shape[1] / width
            top, left = int(y), int(x)
            bottom, right = min(top + 1, last_row), min(left + 1, last_column)
            upper = image[top, left] * (left + 1 - x) + image[top, right] * (x - left)
            lower = image[bottom, left] * (left + 1 - x) + image[bottom, right] * (x - left)
            out[i, j] = upper * (top + 1 - y) + lower * (y - top)
    return out


def random_image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("shape", [(7, 5), (64, 32), (1, 1), (100, 3), (32, 32)], ids=str)
def test_a_stretched_image_is_bilinear_from_the_corner(shape: tuple[int, int]) -> None:
    image = random_image(*shape)
    resized = resize.resize(image, STRETCHED).numpy()
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, slow_resize(image.astype(float), SIZE, SIZE), atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        pytest.param((64, 32), (32, 16), id="high"),
        pytest.param((5, 7), (23, 32), id="enlarged"),
        pytest.param((32, 32), (32, 32), id="square"),
        pytest.param((64, 41), (32, 20), id="half of a pixel goes to the even side, down"),
        pytest.param((64, 43), (32, 22), id="half of a pixel goes to the even side, up"),
        pytest.param((1, 4000), (1, 32), id="no side vanishes"),
    ],
)
def test_a_padded_image_keeps_its_aspect_ratio(shape: tuple[int, int], content: tuple[int, int]) -> None:
    image = random_image(*shape)
    resized = resize.resize(image, PADDED).numpy()
    assert resized.shape == (SIZE, SIZE, 3)
    height, width = content
    np.testing.assert_allclose(resized[:height, :width], slow_resize(image.astype(float), *content), atol=1e-3)
    for padding in (resized[height:], resized[:, width:]):
        np.testing.assert_allclose(padding, np.broadcast_to(MEAN_COLOR, padding.shape), rtol=1e-6)
        np.testing.assert_allclose(preprocessing.normalize(padding, "standardized"), np.zeros(padding.shape), atol=1e-6)
    np.testing.assert_array_equal(resize.windows(tf.constant(shape), PADDED), [0, 0, height / SIZE, width / SIZE])


@pytest.mark.parametrize("spec", [STRETCHED, EFFICIENTDET], ids=["fixed", "keep_aspect_ratio"])
@given(sides=st.lists(st.tuples(st.integers(1, 6000), st.integers(1, 6000)), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_windows_of_a_batch_are_what_the_resize_fills(spec: registry.ModelSpec, sides: list[tuple[int, int]]) -> None:
    """In a graph for all, eagerly for one, and in float32 arithmetic by NumPy: the same bits."""
    in_graph = tf.function(
        lambda sizes: resize.windows(sizes, spec), input_signature=[tf.TensorSpec([None, 2], tf.int32)]
    )
    batch = in_graph(tf.constant(sides)).numpy()
    for (height, width), window in zip(sides, batch, strict=True):
        np.testing.assert_array_equal(window, resize.windows(tf.constant([height, width]), spec))
        filled = resize.content_size(tf.constant([height, width]), spec).numpy()
        np.testing.assert_array_equal(window, [0, 0, *(filled / np.float32(spec.input_size))])
        scale = np.float32(spec.input_size) / np.float32(max(height, width))
        kept = np.maximum(np.round(np.float32([height, width]) * scale), 1)
        np.testing.assert_array_equal(filled, kept if spec is EFFICIENTDET else [spec.input_size] * 2)
        assert filled.max() == spec.input_size


def test_boxes_move_into_the_square() -> None:
    boxes = tf.constant([[0, 0, 1, 1], [0.5, 0.25, 0.75, 0.5]])
    moved = resize.into_square(boxes, tf.constant([50, 100]), PADDED)
    np.testing.assert_array_equal(moved, [[0, 0, 0.5, 1], [0.25, 0.25, 0.375, 0.5]])
    np.testing.assert_array_equal(resize.into_square(boxes, tf.constant([50, 100]), STRETCHED), boxes)


def test_what_differs_is_told_apart() -> None:
    other_color = dataclasses.replace(PADDED, structure=STRETCHED.structure)
    same = dataclasses.replace(STRETCHED, structure=PADDED.structure)
    assert len({resize.identity(spec) for spec in (STRETCHED, PADDED, other_color)}) == 3
    assert resize.identity(same) == resize.identity(STRETCHED)


@pytest.mark.parametrize("name", normalization.NORMALIZATIONS)
def test_the_mean_color_becomes_zero(name: str) -> None:
    color = np.float32(normalization.mean_color(name))
    np.testing.assert_allclose(preprocessing.normalize(color, name), [0, 0, 0], atol=2e-5)
    assert ((color > 100) & (color < 130)).all()


def test_uint8_is_the_nearest() -> None:
    values: Any = tf.constant([0.0, 0.49, 0.51, 254.6, 255.0])
    np.testing.assert_array_equal(resize.to_uint8(values), [0, 0, 1, 255, 255])
