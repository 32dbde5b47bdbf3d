from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tfod_transfer.modeling import anchors


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        pytest.param({"input_size": 320}, 12804, id="320, level 7 is 3 x 3"),
        pytest.param({"input_size": 640}, 51150, id="640"),
        pytest.param({"input_size": 1024}, 130944, id="1024"),
        pytest.param({"input_size": 160}, 6 * (400 + 100 + 25 + 9 + 4), id="160, levels 6 and 7 do not divide"),
        pytest.param({"input_size": 512, "scales_per_octave": 3}, 49104, id="EfficientDet D0"),
        pytest.param({"input_size": 896, "scales_per_octave": 3}, 150381, id="EfficientDet D3"),
    ],
)
def test_number_of_anchors(make_spec: Any, changes: dict[str, Any], count: int) -> None:
    generated = anchors.generate(make_spec(**changes))
    assert generated.shape == (count, 4)
    assert generated.dtype == np.float32
    assert np.all(generated[:, 2:] > generated[:, :2])


def test_ratios_come_before_scales_in_a_cell(make_spec: Any) -> None:
    first = anchors.generate(make_spec(input_size=640))[:4]
    expected = [
        [-0.01875, -0.01875, 0.03125, 0.03125],
        [-0.0291053, -0.0291053, 0.0416053, 0.0416053],
        [-0.0114277, -0.0291053, 0.0239277, 0.0416053],
        [-0.01875, -0.04375, 0.03125, 0.05625],
    ]
    np.testing.assert_allclose(first, expected, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "centres"),
    [
        pytest.param(320, [0, 128, 256], id="stride does not divide the input: no offset"),
        pytest.param(640, [64, 192, 320, 448, 576], id="stride divides the input: half a stride"),
    ],
)
def test_centres_of_the_coarsest_level(make_spec: Any, size: int, centres: list[int]) -> None:
    cells = len(centres)
    coarsest = anchors.generate(make_spec(input_size=size))[-6 * cells * cells :]
    rows = (coarsest[:: 6 * cells, 0] + coarsest[:: 6 * cells, 2]) / 2 * size
    columns = (coarsest[: 6 * cells : 6, 1] + coarsest[: 6 * cells : 6, 3]) / 2 * size
    np.testing.assert_allclose(rows, centres, atol=1e-3)
    np.testing.assert_allclose(columns, centres, atol=1e-3)


def test_needs_no_tensorflow() -> None:
    code = "import sys, tfod_transfer.modeling.anchors; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
