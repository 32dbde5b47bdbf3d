"""Corners or corner and size: told, found out, or asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tfod_transfer.data.formats import box_order
from tfod_transfer.errors import DataError

SIZE = (480, 640)


def decide(numbers: object, told: str = "auto") -> tuple[str, str]:
    array = np.asarray(numbers, np.float64).reshape(-1, 4)
    return box_order.decide(told, array, np.tile(np.array([SIZE], np.int64), (len(array), 1)), "a.json")


def random_xyxy(count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1) * (640, 480)
    return corners.reshape(count, 4)


def as_xywh(xyxy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def with_reversed(xyxy: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    count = round(share * len(xyxy))
    return np.concatenate([xyxy[:count, [2, 1, 0, 3]], xyxy[count:]])


SMALL_NEAR_THE_ORIGIN = [[10, 10, 50, 50], [20, 5, 60, 80]]  # valid either way
PAST_THE_EDGE_AS_SIZES = [400, 300, 600, 400]
REVERSED_AS_CORNERS = [400, 300, 60, 40]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        pytest.param(random_xyxy(200), "xyxy", id="corners"),
        pytest.param(as_xywh(random_xyxy(200)), "xywh", id="sizes"),
        pytest.param(with_reversed(random_xyxy(200), 0.2), "xyxy", id="a fifth of the corners reversed"),
        pytest.param(random_xyxy(200) + 5, "xyxy", id="corners a little over the edge"),
        pytest.param([*SMALL_NEAR_THE_ORIGIN, PAST_THE_EDGE_AS_SIZES], "xyxy", id="one box refutes sizes"),
        pytest.param([*SMALL_NEAR_THE_ORIGIN, REVERSED_AS_CORNERS], "xywh", id="one box refutes corners"),
        pytest.param([[np.nan] * 4, PAST_THE_EDGE_AS_SIZES], "xyxy", id="numbers that are none do not count"),
    ],
)
def test_detects(numbers: object, expected: str) -> None:
    order, said = decide(numbers)
    assert order == expected
    assert "detected" in said


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(SMALL_NEAR_THE_ORIGIN, id="valid either way"),
        pytest.param([PAST_THE_EDGE_AS_SIZES, REVERSED_AS_CORNERS], id="as much against one as against the other"),
        pytest.param([[900, 900, 20, 20]] * 3, id="valid neither way"),
    ],
)
def test_a_tie_asks(numbers: object) -> None:
    with pytest.raises(DataError, match=r"a\.json: cannot tell.*--box_order xyxy or xywh"):
        decide(numbers)


@pytest.mark.parametrize("told", ["xyxy", "xywh"])
def test_what_is_told_stands_against_the_evidence(told: str) -> None:
    assert decide(random_xyxy(50), told)[0] == told
    assert decide(SMALL_NEAR_THE_ORIGIN, told)[0] == told


def test_no_boxes_need_no_order() -> None:
    assert decide([])[0] == "xyxy"
    assert decide([[10, 10, 10, 40], [10, 10, 0, 40]])[0] == "xyxy"  # without area in one reading: no evidence


def test_boxes_without_area_do_not_decide() -> None:
    assert decide([PAST_THE_EDGE_AS_SIZES, *[[10, 10, 10, 40]] * 5])[0] == "xyxy"
    assert decide([REVERSED_AS_CORNERS, *[[400, 300, 0, 40]] * 5])[0] == "xywh"


def test_the_sentence_gives_both_shares() -> None:
    _, said = decide([*SMALL_NEAR_THE_ORIGIN, PAST_THE_EDGE_AS_SIZES, PAST_THE_EDGE_AS_SIZES])
    assert "100.0% of 4 boxes" in said
    assert "50.0% as [x, y, width, height]" in said


def test_sizes_become_corners() -> None:
    numbers = np.array([[10.0, 20.0, 30.0, 40.0]])
    assert box_order.to_xyxy(numbers, "xywh").tolist() == [[10, 20, 40, 60]]
    assert box_order.to_xyxy(numbers, "xyxy").tolist() == numbers.tolist()
