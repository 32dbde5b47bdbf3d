"""How RecordIO puts records one behind the other in a file, and where each of them lies.

MXNet's format (dmlc-core, `recordio.h`): for each part of a record, little-endian, uint32 0xCED7230A, uint32 with the
length in its lower 29 bits and the part's place in the upper 3 (0: the whole record, 1: first, 2: middle, 3: last
part), the bytes, zeros up to a multiple of 4. A record is parted where the magic number stands in it at a multiple of
4; there the magic number of the next part stands for that of the record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from tfod_transfer.data.addresses import Segment
from tfod_transfer.errors import DataError

MAGIC = 0xCED7230A
_HEADER = struct.Struct("<II")
_LENGTH_BITS = 29
_LENGTH_MASK = (1 << _LENGTH_BITS) - 1
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_PLACES = {_MIDDLE: "a middle part", _LAST: "a last part"}


def is_recordio(head: bytes) -> bool:
    """Whether a file that begins so can be RecordIO."""
    return head.startswith(struct.pack("<I", MAGIC))


def records(content: memoryview, path: str) -> Iterator[tuple[int, tuple[Segment, ...]]]:
    """Yields the offset of each record and the pieces of the file, (offset, length), that it consists of.

    Raises:
      DataError: naming the file and the offset, where it is cut off or no RecordIO.
    """
    end, position = len(content), 0
    while position < end:
        start = position
        length, place, position = _part(content, position, path)
        if place == _WHOLE:
            yield start, ((start + 8, length),)
            continue
        pieces = [(start + 8, length)]
        if place != _FIRST:
            found = _PLACES.get(place, f"part {place}")
            raise DataError(f"{path}: expected a record at offset {start}, found {found} of one")
        while place != _LAST:
            if position >= end:
                raise DataError(f"{path} is cut off: the record at offset {start} lacks its last part")
            pieces.append((position, 4))  # the magic number, which is a part of the record, too
            part = position
            length, place, position = _part(content, position, path)
            if place not in (_MIDDLE, _LAST):
                raise DataError(f"{path}: expected a further part of the record at offset {start} at offset {part}")
            pieces.append((part + 8, length))
        yield start, _joined(pieces)


def _part(content: memoryview, position: int, path: str) -> tuple[int, int, int]:
    """Returns length, place, and the position of what follows."""
    if len(content) - position < _HEADER.size:
        raise DataError(f"{path} is cut off in the header of the record at offset {position}")
    magic, header = _HEADER.unpack_from(content, position)
    if magic != MAGIC:
        raise DataError(
            f"{path} is damaged or no RecordIO: expected the number 0x{MAGIC:08X} at offset {position}, found "
            f"0x{magic:08X} ({bytes(content[position : position + 16])!r})"
        )
    length = header & _LENGTH_MASK
    behind = position + _HEADER.size + length
    if behind > len(content):
        missing = behind - len(content)
        raise DataError(f"{path} is cut off: the record at offset {position} has {length} bytes, {missing} are missing")
    return length, header >> _LENGTH_BITS, min(behind + -length % 4, len(content))


def _joined(pieces: Sequence[Segment]) -> tuple[Segment, ...]:
    """Makes one of pieces that follow each other."""
    joined = [pieces[0]]
    for offset, length in pieces[1:]:
        before, size = joined[-1]
        if before + size == offset:
            joined[-1] = (before, size + length)
        else:
            joined.append((offset, length))
    return tuple(joined)


def frame(payload: bytes) -> bytes:
    """Returns a record as it stands in a file.

    Raises:
      DataError: the record has 2^29 bytes or more.
    """
    words = np.frombuffer(payload, "<u4", len(payload) // 4)
    pieces, start = [], 0
    for row in np.flatnonzero(words == MAGIC).tolist():
        pieces.append(payload[start : 4 * row])
        start = 4 * row + 4
    pieces.append(payload[start:])
    places = [_FIRST, *[_MIDDLE] * (len(pieces) - 2), _LAST] if len(pieces) > 1 else [_WHOLE]
    framed = []
    for place, piece in zip(places, pieces, strict=True):
        if len(piece) > _LENGTH_MASK:
            raise DataError(f"a record has {len(piece)} bytes; RecordIO's may have {_LENGTH_MASK}: make images smaller")
        framed += [_HEADER.pack(MAGIC, place << _LENGTH_BITS | len(piece)), piece, bytes(-len(piece) % 4)]
    return b"".join(framed)
