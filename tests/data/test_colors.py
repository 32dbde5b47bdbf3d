"""Colours change as a person would say, and no more than moderately."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tfod_transfer.data import colors

PIXELS = np.random.default_rng(0).uniform(40, 215, (9, 7, 3)).astype(np.float32)
LUMA = np.float32([0.299, 0.587, 0.114])


def changed(
    hue: float = 0.0,
    saturation: float = 1.0,
    contrast: float = 1.0,
    brightness: float = 0.0,
    image: npt.ArrayLike = PIXELS,
) -> npt.NDArray[np.float32]:
    result = colors.change(
        tf.constant(image, tf.float32), *(tf.constant(value) for value in (hue, saturation, contrast, brightness))
    ).numpy()
    assert result.dtype == np.uint8
    return result.astype(np.float32)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, PIXELS, id="nothing"),
        pytest.param({"brightness": 20.0}, PIXELS + 20, id="lighter"),
        pytest.param({"brightness": -60.0}, np.maximum(PIXELS - 60, 0), id="darker, to black"),
        pytest.param({"contrast": 1.2}, PIXELS.mean() + 1.2 * (PIXELS - PIXELS.mean()), id="more contrast"),
        pytest.param({"contrast": 0.0}, np.full_like(PIXELS, PIXELS.mean()), id="no contrast"),
        pytest.param({"saturation": 0.0}, np.tile((PIXELS @ LUMA)[..., None], 3), id="gray"),
        pytest.param({"saturation": 0.5}, 0.5 * PIXELS + 0.5 * (PIXELS @ LUMA)[..., None], id="half way to gray"),
    ],
)
def test_changes(change: dict[str, float], expected: npt.NDArray[np.float32]) -> None:
    np.testing.assert_allclose(
        changed(**change), np.clip(expected, 0, 255), atol=0.8
    )  # NTSC and uint8 round their numbers


def test_a_turn_of_the_hue_keeps_gray_and_luma() -> None:
    gray = np.tile(np.linspace(0, 255, 9, dtype=np.float32)[:, None, None], (1, 4, 3))
    np.testing.assert_allclose(changed(hue=1.0, image=gray), gray, atol=0.8)
    calm = 128 + (PIXELS - 128) / 4  # whatever its hue, it is not clipped
    np.testing.assert_allclose(changed(hue=2.0, image=calm) @ LUMA, calm @ LUMA, atol=0.8)


@pytest.mark.parametrize(
    "color", [(200, 60, 60), (60, 200, 60), (60, 60, 200), (180, 180, 60), (60, 180, 180)], ids=str
)
def test_a_turn_of_the_hue_is_about_that_of_hsv(color: tuple[int, int, int]) -> None:
    def degrees(pixel: npt.NDArray[np.float32]) -> float:
        return 360 * colorsys.rgb_to_hsv(*(float(value) / 255 for value in pixel))[0]

    turned = [degrees(changed(hue=math.radians(sign * 10), image=np.float32([[color]]))[0, 0]) for sign in (-1, 1)]
    assert 8 < (turned[1] - turned[0]) % 360 % 344 < 40 or 8 < (turned[0] - turned[1]) % 360 < 40


def test_jitter_uses_the_whole_of_its_ranges_and_no_more() -> None:
    """Of three pixels (black, gray, white) and a coloured one the four changes can be told."""
    image = tf.constant([[[70.0] * 3, [170.0] * 3, [155.0, 95.0, 125.0]]])
    mean = float(tf.reduce_mean(image))
    contrast, brightness, chroma = [], [], []
    for seed in range(300):
        low, high, colored = colors.jitter(image, tf.random.stateless_uniform([4], [1, seed])).numpy()[0]
        contrast.append((float(high[0]) - low[0]) / 100)
        brightness.append(low[0] - mean - contrast[-1] * (70 - mean))
        chroma.append(np.ptp(colored) / 60 / contrast[-1])
    for values, (lowest, highest) in (
        (contrast, colors.CONTRAST),
        (brightness, (-255 * colors.BRIGHTNESS, 255 * colors.BRIGHTNESS)),
    ):
        width = highest - lowest
        assert lowest - 0.03 * width <= min(values) < lowest + 0.06 * width
        assert highest - 0.06 * width < max(values) <= highest + 0.03 * width
        assert np.mean(values) == pytest.approx((lowest + highest) / 2, abs=0.06 * width)
    assert 0.45 < min(chroma) < 0.75
    assert 1.25 < max(chroma) < 1.75
