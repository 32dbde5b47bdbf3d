"""Checks boxes in bulk, and says what is wrong with them: one Finding for each thing left out or put right.

Reasons that a Finding can carry (the action says what was done):

  annotation file   bad_record, duplicate_image_id, duplicate_file_name, unsafe_path, unknown_image, unlisted_category,
                    unused_category, duplicate_category, other_categories, missing_size, unlisted_file, unused_numbers,
                    other_index, difficult_boxes
  image             missing_image, unreadable_image, not_an_image, unsupported_format, broken_image, too_many_pixels,
                    not_upright, other_size, size_mismatch, orientation_not_applied
  box               non_finite_box, zero_area_box, tiny_box, box_outside, box_over_edge, reversed_corners, edge_rounding
  split             class_not_split
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import Finding
from tfod_transfer.errors import DataError

INVALID_BOXES = ("clip", "drop", "error")

# A box may reach this share of the side (but at least this many pixels) past the edge and count as rounding.
EDGE_TOLERANCE = 0.02
EDGE_TOLERANCE_PX = 2.0
MIN_SIDE_PX = 1.0
# What a pixel may lose when a side is kept as float32 shares of the image.
FLOAT32_ROUNDING_PX = 0.002
NAMED_IN_ERRORS = 10

_DROPPED = {
    "non_finite_box": "a coordinate of this box is not a finite number",
    "zero_area_box": "this box has no area",
    "box_outside": "this box lies outside its picture",
    "tiny_box": f"less than {MIN_SIDE_PX:g} pixel of this box lies in the picture",
}


def edge_tolerance(sizes_hw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How far past the edge still counts as rounding: float [M, 2] pixels (height, width) for sizes [M, 2]."""
    tolerance: npt.NDArray[np.float64] = np.maximum(EDGE_TOLERANCE_PX, EDGE_TOLERANCE * sizes_hw)
    return tolerance


@dataclasses.dataclass(frozen=True)
class CheckedBoxes:
    """The outcome of `check_boxes`.

    Attributes:
      boxes_xyxy_px: float64 [M, 4], corners in order and inside the picture where `usable`.
      usable: bool [M].
      findings: one for each box left out or changed, and one for all that were rounded at the edge.
    """

    boxes_xyxy_px: npt.NDArray[np.float64]
    usable: npt.NDArray[np.bool_]
    findings: list[Finding]


def check_boxes(
    boxes_xyxy_px: npt.NDArray[np.float64],
    sizes_hw: npt.NDArray[np.int64],
    policy: str,
    *,
    file: str | Sequence[str],
    annotation_indices: npt.NDArray[np.int64],
    as_found: npt.NDArray[np.float64],
) -> CheckedBoxes:
    """Puts right what can be put right, and leaves out the rest.

    Corners in the wrong order are exchanged; a box a little over the edge is clipped. A box further over it is clipped,
    left out or refused, as `policy` says. A box without area, outside its picture or under a pixel is always left out.

    Args:
      boxes_xyxy_px: float64 [M, 4], [xmin, ymin, xmax, ymax] in pixels.
      sizes_hw: int64 [M, 2], (height, width) of each box's picture.
      policy: "clip", "drop" or "error".
      file: the annotation file, or that of each box, for the findings.
      annotation_indices: int64 [M], for the findings.
      as_found: float64 [M, 4], the numbers as the file has them, for the findings.

    Raises:
      DataError: under "error", when any box is left out or changed by more than rounding at the edge.
    """
    finite = np.isfinite(boxes_xyxy_px).all(axis=1)
    boxes = np.where(finite[:, None], boxes_xyxy_px, 0.0)
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    is_reversed = (boxes[:, :2] > boxes[:, 2:]).any(axis=1)

    limit = sizes_hw[:, ::-1].astype(np.float64)
    overhang = np.maximum(-low, high - limit)
    is_over = (overhang > edge_tolerance(limit)).any(axis=1)
    is_rounded = (overhang > 0).any(axis=1) & ~is_over
    low_inside, high_inside = np.clip(low, 0, limit), np.clip(high, 0, limit)

    masks = {
        "non_finite_box": ~finite,
        "zero_area_box": (low == high).any(axis=1),
        "box_outside": ((high <= 0) | (low >= limit)).any(axis=1),
        "tiny_box": (high_inside - low_inside < MIN_SIDE_PX - FLOAT32_ROUNDING_PX).any(axis=1),
    }
    findings: list[Finding] = []

    def report(reason: str, mask: npt.NDArray[np.bool_], message: str, action: str = "dropped") -> None:
        for row in np.flatnonzero(mask):
            index, value = int(annotation_indices[row]), as_found[row].tolist()
            findings.append(Finding(reason, _of(file, row), message, index, value, action))

    usable = np.ones(len(boxes), np.bool_)
    for reason, mask in masks.items():
        report(reason, usable & mask, _DROPPED[reason])
        usable &= ~mask
    over = "this box reaches past the edge of its picture"
    report("box_over_edge", usable & is_over, over, "dropped" if policy == "drop" else "clipped")
    if policy == "drop":
        usable &= ~is_over
    put_right = "the corners of this box were in the wrong order and are exchanged"
    report("reversed_corners", usable & is_reversed, put_right, "reordered")

    if policy == "error" and findings:
        headline = f"{findings[0].file}: {len(findings)} boxes are not valid and invalid_boxes is 'error'"
        raise DataError(f"{headline}. The first of them:{name_first(findings)}")
    findings.extend(_rounding(usable & is_rounded, file, annotation_indices, as_found))
    return CheckedBoxes(np.concatenate([low_inside, high_inside], axis=1), usable, findings)


def _of(file: str | Sequence[str], row: int) -> str:
    return file if isinstance(file, str) else file[row]


def _rounding(
    mask: npt.NDArray[np.bool_],
    file: str | Sequence[str],
    indices: npt.NDArray[np.int64],
    as_found: npt.NDArray[np.float64],
) -> list[Finding]:
    rows = np.flatnonzero(mask)
    if not len(rows):
        return []
    message = f"boxes a little over the edge are clipped: {len(rows)} in this data, this is the first"
    first = rows[0]
    return [
        Finding("edge_rounding", _of(file, first), message, int(indices[first]), as_found[first].tolist(), "clipped")
    ]


def require_few(findings: Sequence[Finding], left_out: int, total: int, max_findings: float, source: str) -> None:
    """Refuses a data set of which too much was left out.

    Args:
      findings: everything found.
      left_out: how many images and boxes were left out, boxes of images left out included.
      total: how many images and boxes the annotation file lists.
      max_findings: the share of `total` that may be left out.
      source: the annotation file.

    Raises:
      DataError: naming the first ten findings.
    """
    if total and left_out > max_findings * total:
        dropped = [finding for finding in findings if finding.action == "dropped"]
        raise DataError(
            f"{source}: {left_out} of {total} images and boxes cannot be used ({left_out / total:.0%}, and "
            f"max_findings allows {max_findings:.0%}). The first reasons:{name_first(dropped)}"
        )


def name_first(findings: Sequence[Finding], limit: int = NAMED_IN_ERRORS) -> str:
    """Returns the first findings, one an indented line, each beginning with a line break."""
    more = len(findings) - limit
    lines = [f"\n  {describe(finding)}" for finding in findings[:limit]]
    return "".join(lines) + (f"\n  ... and {more} more" if more > 0 else "")


def describe(finding: Finding) -> str:
    """One line for a person: where, what, which value."""
    box = (
        ""
        if finding.annotation_index is None
        else f" annotation {finding.annotation_index} {as_json(finding)['value']}"
    )
    return f"{finding.file}{box}: {finding.message} [{finding.reason}, {finding.action}]"


def count_by_reason(findings: Sequence[Finding]) -> dict[str, int]:
    """{"reason (action)": count}, the most frequent first."""
    return dict(collections.Counter(f"{finding.reason} ({finding.action})" for finding in findings).most_common())


def as_json(finding: Finding) -> dict[str, Any]:
    """A finding as plain JSON values; numbers that are not finite become text."""

    def plain(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return {**dataclasses.asdict(finding), "value": plain(finding.value)}
