"""The comparison of an exported model with the trained one: what passes as rounding, and what does not."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

from tfod_transfer import errors
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.training import exporting

LOW = {"tolerance": exporting.LOW_PRECISION_TOLERANCE, "rival_iou": 0.6}
EXACT: dict[str, Any] = {}

Found = list[tuple[list[float], int, float]]
LEFT, RIGHT = [0.2, 0.1, 0.6, 0.4], [0.2, 0.6, 0.6, 0.9]
RIVAL = [0.2, 0.1, 0.6, 0.46]  # shares five sixths of itself with LEFT, and a side is 0.06 away
NEITHER = [0.2, 0.1, 0.6, 0.61]  # shares less than 0.6


def detections(found: Found) -> ImageDetections:
    """Of one image, whose list has four places."""
    padded = [*found, *[([0.0] * 4, -1, 0.0)] * (4 - len(found))]
    boxes, classes, scores = zip(*padded, strict=True)
    return ImageDetections(np.float32([boxes]), np.int32([classes]), np.float32([scores]))


def compare(trained: Found, exported: Found, options: dict[str, Any]) -> None:
    stand_in = types.SimpleNamespace(detect_files=lambda paths: iter([detections(exported)]))
    dataset = types.SimpleNamespace(image_paths=["photo.jpg"])
    exporting.check(stand_in, dataset, detections(trained), **options)  # type: ignore[arg-type]


FULL: Found = [(RIGHT, 0, 0.9), (RIGHT, 1, 0.8), (RIGHT, 2, 0.7)]
SAME: Found = [(LEFT, 0, 0.9), (RIGHT, 1, 0.5)]

# what the trained model finds, what the exported one finds, how they are compared
PASSES: dict[str, tuple[Found, Found, dict[str, Any]]] = {
    "the same": (SAME, SAME, EXACT),
    "in another order": (SAME, SAME[::-1], EXACT),
    "another box of low score": (SAME, [*SAME, (RIVAL, 2, 0.04)], EXACT),
    "a missing box of low score": ([*SAME, (RIVAL, 2, 0.04)], SAME, EXACT),
    "rounded": (SAME, [(LEFT, 0, 0.87), ([0.22, 0.6, 0.6, 0.93], 1, 0.53)], LOW),
    "a rival of a class": (SAME, [(RIVAL, 0, 0.88), SAME[1]], LOW),
    "another one at the end of a full list": ([*FULL, (LEFT, 0, 0.30001)], [*FULL, (LEFT, 1, 0.30002)], EXACT),
}
FAILS: dict[str, tuple[Found, Found, dict[str, Any]]] = {
    "nothing": (SAME, [], LOW),
    "another class": (SAME, [(LEFT, 2, 0.9), SAME[1]], LOW),
    "another score": (SAME, [(LEFT, 0, 0.8), SAME[1]], LOW),
    "another score, slightly": (SAME, [(LEFT, 0, 0.899), SAME[1]], EXACT),
    "another place": (SAME, [(RIGHT, 0, 0.9), SAME[1]], LOW),
    "a rival of another score": (SAME, [(RIVAL, 0, 0.8), SAME[1]], LOW),
    "no rival": (SAME, [(NEITHER, 0, 0.9), SAME[1]], LOW),
    "a rival where rounding does not decide": (SAME, [(RIVAL, 0, 0.9), SAME[1]], EXACT),
    "a missing box of a list that is not full": (SAME, SAME[:1], EXACT),
    "a full list of other boxes": ([*FULL, (LEFT, 0, 0.3)], [(LEFT, 3, 1.0)] * 4, LOW),
}


@pytest.mark.parametrize("case", PASSES)
def test_rounding_passes(case: str) -> None:
    compare(*PASSES[case])


@pytest.mark.parametrize("case", FAILS)
def test_another_model_does_not(case: str) -> None:
    with pytest.raises(errors.ArtifactError, match=r"differs from the trained one on 'photo\.jpg'"):
        compare(*FAILS[case])
