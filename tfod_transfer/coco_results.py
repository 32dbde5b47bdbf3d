"""Detections in COCO's results format, as pycocotools' `loadRes` reads it."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tfod_transfer import errors

_NUMBER = re.compile(r"(\d+)$")


def image_ids(names: Sequence[str], annotations: str | None = None) -> list[Any]:
    """Returns COCO's image_id of each file.

    Args:
      names: paths or addresses of the image files.
      annotations: a file with `images` of `id` and `file_name`. Without it, the id is the number that the file's name
        ends with, as in COCO's own names: 139 for 000000000139.jpg and for COCO_val2014_000000000139.jpg.

    Raises:
      DataError: the annotation file cannot be read or does not name an image.
      UsageError: a name does not end with a number, or two end with the same one.
    """
    if annotations is not None:
        by_name = _ids_by_name(annotations)
        return [_id_of(name, by_name, annotations) for name in names]
    ids: dict[int, str] = {}
    for name in names:
        number = _NUMBER.search(pathlib.PurePath(name).stem)
        if number is None:
            raise errors.UsageError(
                f"{name}: COCO results need an image_id, and the name does not end with a number; "
                "give the file that has the ids as --annotations."
            )
        key = int(number.group(1))
        if key in ids:
            raise errors.UsageError(
                f"{ids[key]} and {name} both have the number {key}, and COCO results need different image_ids; "
                "give the file that has the ids as --annotations."
            )
        ids[key] = name
    return list(ids)


def rows(
    image_id: Any,
    size: tuple[int, int],
    boxes: Iterable[Sequence[float]],
    category_ids: Iterable[int | str],
    scores: Iterable[float],
) -> list[dict[str, Any]]:
    """Returns the results of one image.

    Args:
      image_id: as the annotations have it.
      size: (width, height) of the upright image in pixels.
      boxes: normalised [ymin, xmin, ymax, xmax].
      category_ids: of each box.
      scores: of each box.
    """
    width, height = size
    results = []
    for (ymin, xmin, ymax, xmax), category, score in zip(boxes, category_ids, scores, strict=True):
        xywh = (xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height)
        bbox = [round(float(value), 3) for value in xywh]
        results.append({"image_id": image_id, "category_id": category, "bbox": bbox, "score": round(float(score), 6)})
    return results


def _ids_by_name(annotations: str) -> dict[str, Any]:
    try:
        content = json.loads(pathlib.Path(annotations).read_text(encoding="utf-8"))
        return {image["file_name"]: image["id"] for image in content["images"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.DataError(
            f'{annotations}: expected a JSON file with "images": [{{"id": …, "file_name": …}}, …], got {error!r}.'
        ) from None


def _id_of(name: str, by_name: dict[str, Any], annotations: str) -> Any:
    """The id under the longest end of the path that the file has: `val/1.jpg` before `1.jpg`."""
    parts = pathlib.PurePath(name).parts
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        if end in by_name:
            return by_name[end]
    near = errors.did_you_mean(parts[-1], by_name)
    raise errors.DataError(f"{annotations} has no image with the file_name of {name!r}.{near}")
