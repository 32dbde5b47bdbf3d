"""How TFRecord puts records one behind the other in a file, and where each of them lies.

TensorFlow's format (`record_writer.h`): little-endian uint64 length, uint32 masked CRC-32C of these 8 bytes, the bytes,
uint32 masked CRC-32C of the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tfod_transfer.data.addresses import Segment
from tfod_transfer.errors import DataError

_HEADER = struct.Struct("<QI")
_FOOTER = 4
_CRC_POLYNOMIAL = 0x82F63B78  # CRC-32C (RFC 3720, appendix B.4), reflected
_CRC_MASK_DELTA = 0xA282EAD8


def is_tfrecord(head: bytes) -> bool:
    """Whether a file that begins so can be TFRecord: whether the checksum of the first length is right."""
    if len(head) < _HEADER.size:
        return False
    _, checksum = _HEADER.unpack_from(head)
    return _masked_crc(head[:8]) == checksum


def records(content: memoryview, path: str) -> Iterator[tuple[int, Segment]]:
    """Yields the offset of each record and the piece of the file that it consists of.

    Checksums of lengths are checked; those of the contents are not, since images are decoded later anyway.

    Raises:
      DataError: naming the file and the offset, where it is cut off or no TFRecord.
    """
    position = 0
    while position < len(content):
        if len(content) - position < _HEADER.size:
            raise DataError(f"{path} is cut off in the header of the record at offset {position}")
        length, checksum = _HEADER.unpack_from(content, position)
        if _masked_crc(bytes(content[position : position + 8])) != checksum:
            found = bytes(content[position : position + 12])
            raise DataError(f"{path} is damaged or no TFRecord: the checksum at offset {position} is wrong ({found!r})")
        start = position + _HEADER.size
        behind = start + length + _FOOTER
        if behind > len(content):
            missing = behind - len(content)
            raise DataError(
                f"{path} is cut off: the record at offset {position} has {length} bytes, {missing} are missing"
            )
        yield position, (start, length)
        position = behind


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CRC_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def _masked_crc(data: bytes) -> int:
    """TFRecord's masked CRC-32C of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _CRC_MASK_DELTA) & 0xFFFFFFFF
