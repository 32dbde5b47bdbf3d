"""The boxes of one image as SageMaker writes them in JSON: `class_id`, `left`, `top`, `width`, `height` in pixels.

It is the form of a JSON file for each image, and of the label attribute of an augmented manifest.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tfod_transfer.data.formats.building import RecordsBuilder
from tfod_transfer.data.formats.records import Id

SIDES = ("left", "top", "width", "height")
_NUMBER = re.compile(r"\s*-?[0-9]{1,18}\s*")
EXPECTED = 'an object with the list "annotations"'


def parse(text: bytes | str) -> dict[str, Any] | str:
    """Returns an object in JSON, or a sentence that says why it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"it is not valid JSON: {error}"
    return content if isinstance(content, dict) else f"expected an object, found {text[:40]!r}"


def problem_with(labels: Any) -> str:
    """A sentence that says why these are no labels; "" when they are."""
    if isinstance(labels, dict) and isinstance(labels.get("annotations"), list):
        return ""
    found = f"the keys {sorted(labels)[:12]}" if isinstance(labels, dict) else repr(labels)[:40]
    return f"expected {EXPECTED}, found {found}"


def size_of(labels: dict[str, Any]) -> tuple[Any, Any]:
    """Height and width as stated; (0, 0) where they are not."""
    stated = labels.get("image_size")
    stated = stated[0] if isinstance(stated, list) and stated else stated
    return (stated.get("height"), stated.get("width")) if isinstance(stated, dict) else (0, 0)


def count_of(labels: Any) -> int:
    """How many boxes there are in what may be labels."""
    return 0 if problem_with(labels) else len(labels["annotations"])


def add_boxes(builder: RecordsBuilder, row: int, labels: dict[str, Any], origin: str) -> None:
    """Adds the boxes of an image; `labels` are without a problem."""
    for index, found in enumerate(labels["annotations"]):
        try:
            numbers, class_id = [_number(found[side]) for side in SIDES], as_id(found["class_id"])
            is_crowd = bool(found.get("iscrowd"))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            message = f"expected class_id, {', '.join(SIDES)}; {missing}"
            builder.leave_out("bad_record", origin, message, found, box=index)
            continue
        builder.add_box(row, numbers, class_id, index, is_crowd)


def as_id(value: Any) -> Id:
    """A class id; Ground Truth writes numbers as texts.

    Raises:
      TypeError: it is neither a number nor a text.
    """
    if isinstance(value, str):
        return int(value) if _NUMBER.fullmatch(value) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"class_id is {value!r}")


def _number(value: Any) -> float:
    if isinstance(value, bool) or value is None:
        raise TypeError(f"{value!r} is not a number")
    return float(value)
