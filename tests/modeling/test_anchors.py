from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tfod_transfer import errors
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


SSD = {
    "anchor_generator": "ssd",
    "input_size": 300,
    "min_level": 4,
    "max_level": 9,
    "anchor_scale": 0.2,
    "aspect_ratios": (1.0, 2.0, 0.5, 3.0, 0.3333),
}


# first row of some anchors -> the anchors, as the Object Detection API computes them
SSD_ANCHORS = {
    "first cell": (
        0,
        [
            [-0.02368421, -0.02368421, 0.07631579, 0.07631579],
            [-0.04439489, -0.11510557, 0.09702647, 0.16773716],
            [-0.11510557, -0.04439489, 0.16773716, 0.09702647],
        ],
    ),
    "x moves before y": (3, [[-0.02368421, 0.02894736, 0.07631579, 0.12894736]]),
    "second map": (
        1083,
        [
            [-0.125, -0.125, 0.225, 0.225],
            [-0.07374369, -0.19748737, 0.17374368, 0.29748738],
            [-0.19748737, -0.07374369, 0.29748738, 0.17374368],
            [-0.05103629, -0.25310886, 0.15103629, 0.35310888],
            [-0.25312403, -0.05103124, 0.35312405, 0.15103124],
            [-0.15916501, -0.15916501, 0.25916502, 0.25916502],
        ],
    ),
    "coarsest map": (
        1911,
        [
            [0.02500001, 0.02500001, 0.975, 0.975],
            [0.16412428, -0.17175144, 0.83587575, 1.1717515],
            [-0.17175144, 0.16412428, 1.1717515, 0.83587575],
            [0.22575861, -0.3227241, 0.7742414, 1.3227241],
            [-0.32276523, 0.22577232, 1.3227652, 0.7742277],
            [0.01266029, 0.01266029, 0.98733974, 0.98733974],
        ],
    ),
}


@pytest.mark.parametrize("case", SSD_ANCHORS)
def test_ssd_anchors(make_spec: Any, case: str) -> None:
    row, expected = SSD_ANCHORS[case]
    generated = anchors.generate(make_spec(**SSD))
    np.testing.assert_allclose(generated[row : row + len(expected)], expected, rtol=0, atol=5e-8)


@pytest.mark.parametrize(
    ("changes", "cells", "per_cell"),
    [
        pytest.param({}, (19, 10, 5, 3, 2, 1), [3, 6, 6, 6, 6, 6], id="as in the zoo"),
        pytest.param({"input_size": 96}, (6, 3, 2, 1, 1, 1), [3, 6, 6, 6, 6, 6], id="smaller"),
        pytest.param({"scales_per_octave": 1}, (19, 10, 5, 3, 2, 1), [3, 5, 5, 5, 5, 5], id="no larger squares"),
        pytest.param({"max_level": 6}, (19, 10, 5), [3, 6, 6], id="three maps"),
    ],
)
def test_number_of_ssd_anchors(
    make_spec: Any, changes: dict[str, Any], cells: tuple[int, ...], per_cell: list[int]
) -> None:
    spec = make_spec(**{**SSD, **changes})
    generated = anchors.generate(spec)
    assert anchors.anchors_per_cell(spec) == per_cell
    assert len(generated) == sum(side * side * count for side, count in zip(cells, per_cell, strict=True))
    assert generated.dtype == np.float32
    assert np.all(generated[:, 2:] > generated[:, :2])


def test_needs_no_tensorflow() -> None:
    code = "import sys, tfod_transfer.modeling.anchors; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"input_size": 320}, id="320"),
        pytest.param({"input_size": 160, "scales_per_octave": 3}, id="levels that do not divide, three scales"),
        pytest.param({"input_size": 128, "anchor_scale": 2.5}, id="smaller anchors"),
        pytest.param(SSD, id="ssd"),
    ],
)
def test_the_best_overlap_of_a_box_is_the_best_of_all_anchors(make_spec: Any, changes: dict[str, Any]) -> None:
    spec = make_spec(**changes)
    generator = np.random.default_rng(0)
    middles, sides = generator.uniform(0, 1, (60, 2)), np.exp(generator.uniform(np.log(0.01), 0, (60, 2)))
    boxes = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1).clip(0, 1)
    expected = []
    for ymin, xmin, ymax, xmax in boxes:
        best = 0.0
        for top, left, bottom, right in anchors.generate(spec).astype(float):
            shared = max(min(ymax, bottom) - max(ymin, top), 0) * max(min(xmax, right) - max(xmin, left), 0)
            union = (ymax - ymin) * (xmax - xmin) + (bottom - top) * (right - left) - shared
            best = max(best, shared / union)
        expected.append(best)
    np.testing.assert_allclose(anchors.best_overlaps(spec, boxes), expected, atol=1e-5)


def test_another_scale_changes_the_size_of_anchors_and_nothing_else(make_spec: Any) -> None:
    own, half = (anchors.generate(make_spec(input_size=320).adapted(anchor_scale=scale)) for scale in (None, 2.0))
    np.testing.assert_allclose((half[:, :2] + half[:, 2:]) / 2, (own[:, :2] + own[:, 2:]) / 2, atol=1e-6)
    np.testing.assert_allclose(half[:, 2:] - half[:, :2], (own[:, 2:] - own[:, :2]) / 2, atol=1e-6)


def test_anchors_of_several_scales_are_left_alone(make_spec: Any) -> None:
    spec = make_spec(**SSD)
    assert spec.adapted(anchor_scale=0.2) == spec
    with pytest.raises(errors.RegistryError, match="no anchor_scale"):
        spec.adapted(anchor_scale=0.1)
