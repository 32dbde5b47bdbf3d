"""Reads augmented manifests: JSON Lines of `source-ref` and a label attribute, as Ground Truth writes them."""

from __future__ import annotations

import collections
import pathlib
import urllib.parse
from typing import Any

from tfod_transfer import remote_files
from tfod_transfer.data import remote_images
from tfod_transfer.data.formats import json_labels
from tfod_transfer.data.formats.building import RecordsBuilder
from tfod_transfer.data.formats.files import lines_of
from tfod_transfer.data.formats.places import CALLED, Place
from tfod_transfer.data.formats.records import Id, Records
from tfod_transfer.errors import DataError

REFERENCE = "source-ref"
METADATA = "-metadata"


def read(place: Place) -> Records:
    """Reads a manifest into columns. Remote images are copied to the local cache; those that are there are not.

    Raises:
      DataError: the file is no text, its labels may be under several names, or its images are in a file system that
        cannot be read here.
    """
    builder = RecordsBuilder(place.source, CALLED["manifest"], "xywh")
    lines = _lines(place, builder)
    attribute = _attribute(place.source, [content for _, content in lines])
    paths = _paths([content[REFERENCE] for _, content in lines], place.source.parent)
    names: list[tuple[Id, str]] = []
    for origin, content in lines:
        reference, labels = content[REFERENCE], content.get(attribute)
        problem = json_labels.problem_with(labels)
        if problem or not isinstance(labels, dict):
            reason = _metadata(content, attribute).get("failure-reason")
            message = f"{attribute!r}: {problem}" + (f"; labelling it failed: {reason}" if reason else "")
            builder.leave_out("bad_record", origin, message, reference)
            continue
        path = paths[reference]
        if isinstance(path, remote_images.Problem):
            builder.leave_out("missing_image", reference, path.message, origin, boxes=json_labels.count_of(labels))
            continue
        size = json_labels.size_of(labels)
        row = builder.add_image(reference, origin, image_id=reference, size_hw=size, address=str(path))
        if row is not None:
            json_labels.add_boxes(builder, row, labels, origin)
        class_map = _metadata(content, attribute).get("class-map")
        if isinstance(class_map, dict):
            names += [(json_labels.as_id(key), str(name)) for key, name in class_map.items()]
    return builder.build(place.folders, list(dict.fromkeys(names)))


def _lines(place: Place, builder: RecordsBuilder) -> list[tuple[str, dict[str, Any]]]:
    lines = []
    for number, line in enumerate(lines_of(place.source), start=1):
        if not line.strip():
            continue
        origin, content = f"{place.source} line {number}", json_labels.parse(line)
        if isinstance(content, str):
            builder.leave_out("bad_record", origin, content, line[:80])
        elif not isinstance(content.get(REFERENCE), str):
            message = f"expected {REFERENCE!r}, the address of an image; found the keys {sorted(content)[:12]}"
            builder.leave_out("bad_record", origin, message)
        else:
            lines.append((origin, content))
    return lines


def _attribute(source: pathlib.Path, contents: list[dict[str, Any]]) -> str:
    """The name under which most lines have labels."""
    counts = collections.Counter(
        key for content in contents for key, value in content.items() if not json_labels.problem_with(value)
    )
    most = [key for key, count in counts.items() if count == max(counts.values())]
    if len(most) > 1:
        raise DataError(f"{source} has boxes under several names, {', '.join(sorted(most))}: leave one of them in")
    if not most:
        keys = sorted({key for content in contents for key in content})[:12]
        raise DataError(
            f"{source}: expected a label attribute, {json_labels.EXPECTED}, in each line; found the keys {keys}"
        )
    return most[0]


def _metadata(content: dict[str, Any], attribute: str) -> dict[str, Any]:
    metadata = content.get(attribute + METADATA)
    return metadata if isinstance(metadata, dict) else {}


def _paths(references: list[str], folder: pathlib.Path) -> dict[str, pathlib.Path | remote_images.Problem]:
    """Where the images are on this machine."""
    paths: dict[str, pathlib.Path | remote_images.Problem] = {}
    remote = []
    for reference in references:
        if reference.startswith("file://"):
            paths[reference] = pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(reference).path))
        elif remote_files.is_remote(reference):
            remote.append(reference)
        else:
            paths[reference] = folder / reference
    return {**paths, **remote_images.local_copies(remote)}
