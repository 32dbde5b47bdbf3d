"""Reads RecordIO: MXNet's image records with detection labels, and what SageMaker's pipe mode wraps so.

An image record is a header (uint32 flag, float32 label, uint64 id, uint64 id2; MXNet's `IRHeader`), `flag` float32
numbers, and an encoded image. The numbers are the width A of a header, the width B of an object, what else the header
has, and then for each object its class, xmin, ymin, xmax, ymax as shares of the image, and what else it has; rows of
-1 fill up. An augmented manifest comes through a pipe as two records for each line: an image, and its labels in JSON.
"""

from __future__ import annotations

import itertools
import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfod_transfer.data import addresses, image_files
from tfod_transfer.data.addresses import Segment
from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats import image_lists, json_labels, recordio_framing
from tfod_transfer.data.formats.building import RecordsBuilder
from tfod_transfer.data.formats.files import mapped
from tfod_transfer.data.formats.places import CALLED, Place
from tfod_transfer.data.formats.records import Id, Records
from tfod_transfer.errors import DataError

HEADER = struct.Struct("<IfQQ")
_IMAGE_MAGIC = 16  # bytes that tell what an image is


def read(place: Place) -> Records:
    """Reads a `.rec` file into columns; looks at no image.

    Raises:
      DataError: the file is cut off, damaged, or its records hold neither detection labels nor images and JSON.
    """
    path = str(place.source)
    with mapped(path) as content:
        first = next(recordio_framing.records(content, path), None)
        if first is None:
            raise DataError(f"{path} is empty; expected RecordIO")
        head = _head(content, first[1], _IMAGE_MAGIC)
        if head.lstrip().startswith(b"{"):
            raise DataError(
                f"{path} begins with labels in JSON: expected an image and then its labels, so in SageMaker "
                "AttributeNames have to be source-ref and then the label attribute"
            )
        return _read_pairs(place, content) if image_files.sniff(head) else _read_image_records(place, content)


def _read_image_records(place: Place, content: memoryview) -> Records:
    path = str(place.source)
    names = image_lists.names_beside(place.source)
    called = f"{CALLED['recordio']} with detection labels"
    builder = RecordsBuilder(place.source, called, "xyxy", normalised=True, states_sizes=False)
    labels = image_lists.LabelReader(builder)
    offsets = []
    for number, (offset, pieces) in enumerate(recordio_framing.records(content, path)):
        offsets.append(offset)
        origin = f"{path} record {number} at offset {offset}"
        head = _head(content, pieces, HEADER.size)
        if len(head) < HEADER.size:
            builder.leave_out("bad_record", origin, f"expected a header of {HEADER.size} bytes, found {len(head)}")
            continue
        flag, _, image_id, _ = HEADER.unpack(head)
        start = HEADER.size + 4 * flag
        label = _head(content, pieces, start)[HEADER.size :]
        if len(label) < 4 * flag or not flag:
            found = f"{flag} numbers announced, {len(label) // 4} there" if flag else "one label for the whole image"
            builder.leave_out("bad_record", origin, f"expected detection labels, found {found}")
            continue
        name = names.get(image_id, f"{image_id:09d}")
        address = addresses.inside(path, _behind(pieces, start), name)
        labels.add(np.frombuffer(label, "<f4"), origin, name, image_id, address)
    labels.finish()
    builder.findings += _index_findings(place.source, offsets)
    return builder.build(place.folders, image_lists.classes_beside(place.source))


def _read_pairs(place: Place, content: memoryview) -> Records:
    path = str(place.source)
    builder = RecordsBuilder(place.source, f"{CALLED['recordio']} of images and labels in JSON", "xywh")
    names: dict[Id, str] = {}
    for number, (offset, pieces, told) in enumerate(_grouped(content, path)):
        origin = f"{path} image {number} at offset {offset}"
        labels: Any = next((each for each in told if "annotations" in each), told[0] if told else None)
        problem = labels if isinstance(labels, str) else json_labels.problem_with(labels)
        if problem or not pieces:
            message = problem if pieces else "expected an image before these labels"
            builder.leave_out("bad_record", origin, message, boxes=json_labels.count_of(labels))
            continue
        for metadata in told:
            if isinstance(metadata, dict) and isinstance(metadata.get("class-map"), dict):
                names.update({json_labels.as_id(key): str(value) for key, value in metadata["class-map"].items()})
        name = f"{number:09d}"
        size = json_labels.size_of(labels)
        row = builder.add_image(
            name, origin, image_id=number, size_hw=size, address=addresses.inside(path, pieces, name)
        )
        if row is not None:
            json_labels.add_boxes(builder, row, labels, origin)
    return builder.build(place.folders, list(names.items()))


def _grouped(content: memoryview, path: str) -> Iterator[tuple[int, tuple[Segment, ...], list[dict[str, Any] | str]]]:
    """Yields for each image its offset, its pieces, and the JSON records behind it, or why one of them is no JSON."""
    offset = 0
    image: tuple[Segment, ...] = ()
    told: list[dict[str, Any] | str] = []
    for position, pieces in recordio_framing.records(content, path):
        if image_files.sniff(_head(content, pieces, _IMAGE_MAGIC)):
            if image or told:
                yield offset, image, told
            offset, image, told = position, pieces, []
        else:
            told.append(json_labels.parse(_head(content, pieces)))
    yield offset, image, told


def _head(content: memoryview, pieces: Sequence[Segment], length: int | None = None) -> bytes:
    """The first bytes of a record, or all of them."""
    joined = b""
    for offset, size in pieces:
        wanted = size if length is None else min(size, length - len(joined))
        joined += content[offset : offset + wanted]
    return joined


def _behind(pieces: Sequence[Segment], start: int) -> list[Segment]:
    """The pieces of a record from its byte `start` on."""
    rest = []
    for (offset, length), before in zip(pieces, itertools.accumulate((p[1] for p in pieces), initial=0), strict=False):
        skipped = min(max(start - before, 0), length)
        if skipped < length:
            rest.append((offset + skipped, length - skipped))
    return rest or [(pieces[-1][0] + pieces[-1][1], 0)]


def _index_findings(source: pathlib.Path, offsets: list[int]) -> list[Finding]:
    """What the `.idx` beside a file says otherwise; the file itself decides."""
    index = source.with_suffix(".idx")
    listed = image_lists.offsets_in(index)
    if listed is None or set(listed) == set(offsets):
        return []
    wrong = next((offset for offset in listed if offset not in set(offsets)), None)
    found = (
        f"{len(listed)} records, of {len(offsets)}" if wrong is None else f"a record at offset {wrong}, which is none"
    )
    message = f"it is not the index of {source.name}: it lists {found}; it is not used"
    return [Finding("other_index", str(index), message, value=wrong, action="noted")]
