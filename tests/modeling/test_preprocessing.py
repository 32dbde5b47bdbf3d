from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfod_transfer import errors
from tfod_transfer.data import resize
from tfod_transfer.modeling import preprocessing


def slow_resize(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear, output pixel i at input i * side / size, as in TensorFlow 1."""
    height, width = image.shape[:2]
    out = np.zeros((size, size, 3))
    for i in range(size):
        for j in range(size):
            y, x = i * height / size, j * width / size
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = image[top, left] * (left + 1 - x) + image[top, right] * (x - left)
            lower = image[bottom, left] * (left + 1 - x) + image[bottom, right] * (x - left)
            out[i, j] = upper * (top + 1 - y) + lower * (y - top)
    return out


@pytest.mark.parametrize("shape", [(7, 5), (64, 32), (1, 1), (100, 3), (32, 32)])
def test_resize_is_bilinear_from_the_corner(make_spec: Any, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    resized = resize.resize(image, make_spec(input_size=32)).numpy()
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, slow_resize(image.astype(float), 32), atol=1e-3)


def test_black_and_white_become_minus_one_and_one() -> None:
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    normalized = preprocessing.normalize(pixels, "symmetric").numpy()
    np.testing.assert_allclose(normalized, [[[-1, -1, -1], [1, 1, 1]]], atol=1e-6)
    np.testing.assert_array_equal(preprocessing.normalize(pixels.astype(np.float32), "symmetric"), normalized)


def test_a_resizer_that_is_not_built_is_named(make_spec: Any) -> None:
    with pytest.raises(errors.RegistryError, match=r"resizer 'keep_aspect_ratio' is not built yet"):
        resize.resize(np.zeros((2, 2, 3), np.uint8), make_spec(resizer="keep_aspect_ratio"))
