"""Boxes put right, clipped or left out, and the findings that say so."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfod_transfer.data import validation
from tfod_transfer.data.dataset import Finding
from tfod_transfer.errors import DataError

WIDTH, HEIGHT = 640, 480
Box = tuple[float, float, float, float]


def check(*boxes: Box, policy: str = "clip") -> validation.CheckedBoxes:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    sizes = np.tile(np.array([[HEIGHT, WIDTH]], np.int64), (len(array), 1))
    return validation.check_boxes(
        array, sizes, policy, file="a.json", annotation_indices=np.arange(len(array)) + 100, as_found=array
    )


INSIDE, OVER = (10.0, 20.0, 30.0, 60.0), (600.0, 20.0, 700.0, 60.0)
TABLE = [
    # name, box, kept as (None: left out), (reason, action)
    ("inside", INSIDE, INSIDE, None),
    ("whole picture", (0, 0, WIDTH, HEIGHT), (0, 0, WIDTH, HEIGHT), None),
    ("one pixel", (5, 5, 6, 6), (5, 5, 6, 6), None),
    ("a little over the edge", (-3, 0, 645, 485), (0, 0, WIDTH, HEIGHT), ("edge_rounding", "clipped")),
    ("far over the edge", OVER, (600, 20, 640, 60), ("box_over_edge", "clipped")),
    ("corners exchanged in x", (30, 20, 10, 60), INSIDE, ("reversed_corners", "reordered")),
    ("corners exchanged in y", (10, 60, 30, 20), INSIDE, ("reversed_corners", "reordered")),
    ("corners exchanged in both", (30, 60, 10, 20), INSIDE, ("reversed_corners", "reordered")),
    ("no width", (10, 20, 10, 60), None, ("zero_area_box", "dropped")),
    ("no height", (10, 20, 30, 20), None, ("zero_area_box", "dropped")),
    ("a point", (10, 20, 10, 20), None, ("zero_area_box", "dropped")),
    ("under a pixel", (10, 20, 10.9, 60), None, ("tiny_box", "dropped")),
    ("under a pixel once clipped", (639.5, 20, 660, 60), None, ("tiny_box", "dropped")),
    ("right of the picture", (700, 20, 800, 60), None, ("box_outside", "dropped")),
    ("above the picture", (10, -60, 30, -20), None, ("box_outside", "dropped")),
    ("touching from outside", (640, 20, 700, 60), None, ("box_outside", "dropped")),
    ("not a number", (math.nan, 20, 30, 60), None, ("non_finite_box", "dropped")),
    ("infinite", (10, 20, math.inf, 60), None, ("non_finite_box", "dropped")),
    ("huge", (-1e300, -1e300, 1e300, 1e300), (0, 0, WIDTH, HEIGHT), ("box_over_edge", "clipped")),
]


@pytest.mark.parametrize(("box", "kept", "finding"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_clip_policy(box: Box, kept: Box | None, finding: tuple[str, str] | None) -> None:
    found = check(box)
    assert found.usable.tolist() == [kept is not None]
    if kept is not None:
        assert tuple(found.boxes_xyxy_px[0]) == kept
    assert [(each.reason, each.action) for each in found.findings] == ([finding] if finding else [])
    for each in found.findings:
        assert (each.file, each.annotation_index) == ("a.json", 100)
        np.testing.assert_array_equal(each.value, box)


def test_drop_policy_leaves_out_what_is_far_over_the_edge_and_nothing_else() -> None:
    found = check(INSIDE, OVER, (-3, 0, 645, 485), (30, 20, 10, 60), policy="drop")
    assert found.usable.tolist() == [True, False, True, True]
    assert [(each.reason, each.action) for each in found.findings] == [
        ("box_over_edge", "dropped"),
        ("reversed_corners", "reordered"),
        ("edge_rounding", "clipped"),
    ]


def test_error_policy_names_the_boxes() -> None:
    with pytest.raises(DataError, match=r"2 boxes are not valid") as raised:
        check(INSIDE, OVER, (10, 20, 10, 60), policy="error")
    assert "annotation 101 [600.0, 20.0, 700.0, 60.0]" in str(raised.value)
    assert "annotation 102" in str(raised.value)


def test_error_policy_accepts_rounding_at_the_edge() -> None:
    assert check(INSIDE, (-3, 0, 645, 485), policy="error").usable.all()


def test_rounding_is_one_finding_with_a_count() -> None:
    found = check((-1, 0, 30, 30), INSIDE, (-1, 0, 40, 40))
    assert len(found.findings) == 1
    assert "2 in this data" in found.findings[0].message


def test_a_reversed_box_over_the_edge_has_both_findings() -> None:
    found = check((700, 20, 600, 60))
    assert [each.reason for each in found.findings] == ["box_over_edge", "reversed_corners"]
    assert tuple(found.boxes_xyxy_px[0]) == (600, 20, 640, 60)


coordinate = st.one_of(st.floats(-1000, 2000), st.floats(), st.sampled_from([0.0, WIDTH, HEIGHT]))


@given(
    st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=20), st.sampled_from(["clip", "drop"])
)
def test_what_is_usable_lies_inside_and_what_is_not_is_named(boxes: list[Box], policy: str) -> None:
    found = check(*boxes, policy=policy)
    usable: npt.NDArray[np.float64] = found.boxes_xyxy_px[found.usable]
    assert (usable >= 0).all()
    assert (usable <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    assert (usable[:, 2:] - usable[:, :2] >= validation.MIN_SIDE_PX - validation.FLOAT32_ROUNDING_PX).all()
    dropped = sorted(each.annotation_index or 0 for each in found.findings if each.action == "dropped")
    assert dropped == (np.flatnonzero(~found.usable) + 100).tolist()


def findings(count: int) -> list[Finding]:
    return [Finding("tiny_box", "a.json", f"problem {index}", index, [0.0] * 4) for index in range(count)]


@pytest.mark.parametrize(
    ("left_out", "share", "fails"), [(0, 0.0, False), (50, 0.5, False), (51, 0.5, True), (1, 0.0, True)]
)
def test_too_many_findings_fail(left_out: int, share: float, fails: bool) -> None:
    if not fails:
        validation.require_few(findings(left_out), left_out, 100, share, "a.json")
        return
    with pytest.raises(DataError, match=f"{left_out} of 100 images and boxes"):
        validation.require_few(findings(left_out), left_out, 100, share, "a.json")


def test_the_error_names_the_first_ten() -> None:
    with pytest.raises(DataError) as raised:
        validation.require_few(findings(60), 60, 100, 0.5, "a.json")
    assert "problem 9 " in str(raised.value)
    assert "problem 10 " not in str(raised.value)
    assert "50 more" in str(raised.value)


def test_findings_count_by_reason_and_action() -> None:
    several = [*findings(2), Finding("box_over_edge", "a.json", "clipped", 1, action="clipped")]
    assert validation.count_by_reason(several) == {"tiny_box (dropped)": 2, "box_over_edge (clipped)": 1}


def test_findings_are_plain_json() -> None:
    finding = Finding("non_finite_box", "a.json", "not finite", 3, [math.nan, 1.0, math.inf, 2.0])
    text = json.dumps(validation.as_json(finding), allow_nan=False)
    assert json.loads(text)["value"] == ["nan", 1.0, "inf", 2.0]
