"""How boxes lie to anchors, and when smaller ones are advised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.modeling import anchor_fit

SSD = {"anchor_generator": "ssd", "min_level": 4, "max_level": 9, "anchor_scale": 0.2}


def boxes_of(sides_px: dict[int, float], size: tuple[int, int] = (320, 320), each: int = 30) -> DetectionDataset:
    """Square boxes at random places of one image: class -> side in its pixels."""
    generator = np.random.default_rng(0)
    classes = np.repeat(np.array(list(sides_px), np.int32), each)
    sides = np.repeat(list(sides_px.values()), each)[:, np.newaxis] / np.array(size)
    corners = generator.uniform(0, 1, (len(classes), 2)) * (1 - sides)
    return DetectionDataset(
        image_paths=["a.jpg"],
        image_ids=[0],
        sizes=np.array([size], np.int32),
        orientations=np.ones(1, np.uint8),
        boxes=np.concatenate([corners, corners + sides], axis=1).astype(np.float32),
        classes=classes,
        is_crowd=np.zeros(len(classes), np.bool_),
        offsets=np.array([0, len(classes)], np.int64),
        class_names=("cell", "platelet"),
        category_ids=(1, 2),
    )


def test_what_is_measured(make_spec: Any) -> None:
    fit = anchor_fit.measure(boxes_of({0: 64, 1: 8}), make_spec())
    assert fit is not None
    assert fit.sides_px == (8, 36, 64)
    assert fit.boxes_compared == 60
    assert fit.unmatched_by_class == {"cell": 0, "platelet": 1}
    assert fit.share_unmatched == 0.5


def test_padding_shrinks_the_shorter_side(make_spec: Any) -> None:
    wide = boxes_of({0: 100}, size=(320, 640))
    padded = anchor_fit.measure(wide, make_spec(resizer="keep_aspect_ratio"))
    stretched = anchor_fit.measure(wide, make_spec(resizer="fixed"))
    assert padded is not None
    assert stretched is not None
    assert padded.sides_px[1] == 50
    assert stretched.sides_px[1] == pytest.approx(50 * 2**0.5, abs=0.1)


def test_smaller_anchors_are_advised_where_they_win_much(make_spec: Any) -> None:
    fit = anchor_fit.measure(boxes_of({0: 64, 1: 18}), make_spec())
    assert fit is not None
    assert fit.advice is not None
    assert fit.advice.present_scale == 4
    assert fit.advice.anchor_scale in (2.8, 2.4)
    assert fit.advice.unmatched_by_class["platelet"] < 0.1 < 0.9 < fit.unmatched_by_class["platelet"]
    assert "100% of those of 'platelet'" in anchor_fit.sentence(fit)
    assert f"--anchor_scale {fit.advice.anchor_scale}" in anchor_fit.sentence(fit)
    better = anchor_fit.measure(boxes_of({0: 64, 1: 18}), make_spec().adapted(anchor_scale=fit.advice.anchor_scale))
    assert better is not None
    assert better.unmatched_by_class == fit.advice.unmatched_by_class
    assert not anchor_fit.sentence(better)


@pytest.mark.parametrize(
    ("sides", "changes"),
    [
        pytest.param({0: 64, 1: 100}, {}, id="all are large"),
        pytest.param({0: 64, 1: 3}, {}, id="too small for any"),
        pytest.param({1: 10}, SSD, id="ssd"),
    ],
)
def test_nothing_is_advised(make_spec: Any, sides: dict[int, float], changes: dict[str, Any]) -> None:
    fit = anchor_fit.measure(boxes_of(sides), make_spec(**changes))
    assert fit is not None
    assert fit.advice is None
    assert anchor_fit.sentence(fit) == ""


def test_without_boxes_there_is_nothing_to_say(make_spec: Any) -> None:
    assert anchor_fit.measure(boxes_of({}), make_spec()) is None
    assert anchor_fit.sentence(None) == ""
