from __future__ import annotations

import numpy as np
import pytest

from tfod_transfer.modeling import preprocessing


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("symmetric", [-1, -1, -1], [1, 1, 1]),
        ("mean_subtracted", [-123.68, -116.779, -103.939], [131.32, 138.221, 151.061]),
        ("standardized", [-2.117904, -2.035714, -1.804444], [2.248908, 2.428571, 2.64]),
    ],
)
def test_black_and_white(name: str, black: list[float], white: list[float]) -> None:
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    normalized = preprocessing.normalize(pixels, name).numpy()
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, [[black, white]], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(preprocessing.normalize(pixels.astype(np.float32), name), normalized)
