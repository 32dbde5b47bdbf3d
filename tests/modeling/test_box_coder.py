from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfod_transfer.modeling import box_coder

ANCHOR = np.array([[0.2, 0.2, 0.4, 0.6]], np.float32)
SSD, EFFICIENTDET = (10.0, 10.0, 5.0, 5.0), (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("box", "scales", "code"),
    [
        pytest.param([0.2, 0.2, 0.4, 0.6], SSD, [0, 0, 0, 0], id="the anchor itself"),
        pytest.param([0.3, 0.2, 0.5, 0.6], SSD, [5, 0, 0, 0], id="half a height lower"),
        pytest.param([0.3, 0.2, 0.5, 0.6], EFFICIENTDET, [0.5, 0, 0, 0], id="the same, not scaled"),
        pytest.param([0.2, 0.1, 0.4, 0.5], SSD, [0, -2.5, 0, 0], id="a quarter of a width to the left"),
        pytest.param([0.1, 0.0, 0.5, 0.8], SSD, [0, 0, 5 * np.log(2), 5 * np.log(2)], id="twice the size"),
    ],
)
def test_encodes_and_decodes(box: list[float], scales: tuple[float, ...], code: list[float]) -> None:
    np.testing.assert_allclose(box_coder.encode(np.array([box], np.float32), ANCHOR, scales), [code], atol=1e-5)
    np.testing.assert_allclose(box_coder.decode(np.array([code], np.float32), ANCHOR, scales), [box], atol=1e-6)


corners = hnp.arrays(np.float32, (5, 4), elements=st.floats(0.0, 1.0, width=32))


@given(corners, corners)
def test_decode_inverts_encode(a: np.ndarray, b: np.ndarray) -> None:
    boxes, anchors = (np.concatenate([x[:, :2], x[:, :2] + 0.01 + x[:, 2:]], axis=-1) for x in (a, b))
    decoded = box_coder.decode(box_coder.encode(boxes[np.newaxis], anchors, SSD), anchors, SSD)
    np.testing.assert_allclose(decoded[0], boxes, atol=1e-4)


def test_an_empty_box_has_a_finite_code() -> None:
    empty = np.array([[0.3, 0.3, 0.3, 0.3]], np.float32)
    assert np.all(np.isfinite(box_coder.encode(empty, ANCHOR, SSD)))
