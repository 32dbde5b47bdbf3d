"""Takes a serialised `tf.train.Example` apart without TensorFlow, and tells where in a file its bytes lie.

Protocol buffers' wire format: a key (field number times 8, plus the kind of value), then a varint, 8 or 4 bytes, or a
length and so many bytes. An Example holds Features (field 1), these a map (1) from key (1) to Feature (2), which is a
list (1) of bytes (1), floats (2) or integers (3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tfod_transfer.data.addresses import Segment

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


class Feature(NamedTuple):
    """A feature: bytes as pieces of the file, floats, integers; two of the three are empty."""

    pieces: list[Segment]
    floats: list[float]
    integers: list[int]


def parse(content: memoryview, record: Segment) -> dict[str, Feature]:
    """Returns the features of an Example.

    Raises:
      ValueError: it is none.
    """
    features: dict[str, Feature] = {}
    start, length = record
    for _, features_at in _submessages(content, start, start + length, 1):
        for _, entry in _submessages(content, *features_at, 1):
            key, found = "", Feature([], [], [])
            for field, value in _fields(content, *entry):
                if field == 1 and isinstance(value, tuple):
                    key = bytes(content[slice(*value)]).decode("utf-8", "replace")
                elif field == 2 and isinstance(value, tuple):
                    found = _feature(content, *value)
            features[key] = found
    return features


def _feature(content: memoryview, start: int, end: int) -> Feature:
    feature = Feature([], [], [])
    for kind, (first, last) in _submessages(content, start, end):
        for field, value in _fields(content, first, last):
            if field != 1:
                continue
            if kind == _BYTES_LIST and isinstance(value, tuple):
                feature.pieces.append((value[0], value[1] - value[0]))
            elif kind == _FLOAT_LIST:
                feature.floats.extend(_floats(content, value))
            elif kind == _INT64_LIST:
                feature.integers.extend(_integers(content, value))
    return feature


def _floats(content: memoryview, value: int | tuple[int, int] | bytes) -> tuple[float, ...]:
    raw = value if isinstance(value, bytes) else bytes(content[slice(*value)]) if isinstance(value, tuple) else b"?"
    if len(raw) % 4:
        raise ValueError("a list of floats is damaged")
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def _integers(content: memoryview, value: int | tuple[int, int] | bytes) -> Iterator[int]:
    if isinstance(value, int):
        yield _signed(value)
    elif isinstance(value, tuple):
        position, end = value
        while position < end:
            number, position = _varint(content, position, end)
            yield _signed(number)


def _submessages(
    content: memoryview, start: int, end: int, wanted: int | None = None
) -> Iterator[tuple[int, tuple[int, int]]]:
    for field, value in _fields(content, start, end):
        if isinstance(value, tuple) and wanted in (None, field):
            yield field, value


def _fields(content: memoryview, start: int, end: int) -> Iterator[tuple[int, int | tuple[int, int] | bytes]]:
    """Yields field numbers, with integers, 4 or 8 bytes, or (start, end) of longer ones."""
    position = start
    while position < end:
        key, position = _varint(content, position, end)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(content, position, end)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _varint(content, position, end)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"there is no wire type {kind}")
        if length > end - position:
            raise ValueError("a field is longer than the record")
        span = (position, position + length)
        yield key >> 3, span if kind == _BYTES else bytes(content[slice(*span)])
        position += length


def _varint(content: memoryview, position: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while position < end and shift < 70:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise ValueError("a number is cut off")


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
