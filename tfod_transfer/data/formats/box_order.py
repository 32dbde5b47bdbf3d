"""Which four numbers a box is: corners (xmin, ymin, xmax, ymax), or corner and size (x, y, width, height)."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.formats.records import BoxOrder
from tfod_transfer.data.validation import edge_tolerance
from tfod_transfer.errors import DataError

BOX_ORDERS = ("auto", *get_args(BoxOrder))
SPELLED = {"xyxy": "[xmin, ymin, xmax, ymax]", "xywh": "[x, y, width, height]"}


def decide(
    box_order: str, numbers: npt.NDArray[np.float64], sizes_hw: npt.NDArray[np.int64], source: str
) -> tuple[BoxOrder, str]:
    """Decides how boxes are read.

    A reading is believed when the other one makes clearly more boxes impossible: more than twice as many and at least
    one. The evidence is in the edges: corners read as sizes reach past the picture, sizes read as corners come out in
    the wrong order.

    Args:
      box_order: "xyxy" or "xywh" to be told, "auto" to find out.
      numbers: float64 [M, 4] as found.
      sizes_hw: int64 [M, 2], (height, width) of each box's picture.
      source: the annotation file.

    Returns:
      The order, and a sentence that says it.

    Raises:
      DataError: when both readings fit about equally well.
    """
    for told in get_args(BoxOrder):
        if box_order == told:
            return told, f"boxes read as {SPELLED[told]} pixels, as told"
    # A box without area in either reading is a mistake in any file, and speaks for neither.
    telling = np.isfinite(numbers).all(axis=1) & (numbers[:, :2] != numbers[:, 2:]).all(axis=1)
    telling &= (numbers[:, 2:] != 0).all(axis=1)
    numbers, sizes_hw = numbers[telling], sizes_hw[telling]
    if not len(numbers):
        return "xyxy", "no boxes that could tell the order of their numbers"
    invalid = {"xyxy": _invalid(numbers, sizes_hw), "xywh": _invalid(to_xyxy(numbers, "xywh"), sizes_hw)}
    fits = {order: f"{1 - count / len(numbers):.1%}" for order, count in invalid.items()}
    if invalid["xywh"] > 2 * invalid["xyxy"]:
        return "xyxy", _said("xyxy", "xywh", fits, len(numbers))
    if invalid["xyxy"] > 2 * invalid["xywh"]:
        return "xywh", _said("xywh", "xyxy", fits, len(numbers))
    raise DataError(
        f"{source}: cannot tell the order of the numbers in a bbox: {fits['xyxy']} of {len(numbers)} boxes are valid "
        f"as {SPELLED['xyxy']}, {fits['xywh']} as {SPELLED['xywh']} (COCO). Say which with --box_order xyxy or xywh"
    )


def to_xyxy(numbers: npt.NDArray[np.float64], order: BoxOrder) -> npt.NDArray[np.float64]:
    """Returns float64 [M, 4] as [xmin, ymin, xmax, ymax]."""
    if order == "xyxy":
        return numbers
    return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)


def _invalid(boxes_xyxy_px: npt.NDArray[np.float64], sizes_hw: npt.NDArray[np.int64]) -> int:
    low, high, limit = boxes_xyxy_px[:, :2], boxes_xyxy_px[:, 2:], sizes_hw[:, ::-1]
    tolerance = edge_tolerance(limit)
    valid = (low < high) & (low >= -tolerance) & (high <= limit + tolerance)
    return int(len(boxes_xyxy_px) - valid.all(axis=1).sum())


def _said(order: str, other: str, fits: dict[str, str], count: int) -> str:
    return (
        f"boxes read as {SPELLED[order]} pixels (detected: {fits[order]} of {count} boxes are valid so, "
        f"{fits[other]} as {SPELLED[other]})"
    )
