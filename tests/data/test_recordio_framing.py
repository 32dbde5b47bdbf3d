"""RecordIO's bytes: as documented, whole and in parts, and what is said of files that are cut off or something else."""

from __future__ import annotations

import pathlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfod_transfer.data import addresses
from tfod_transfer.data.formats import recordio_framing
from tfod_transfer.data.formats.files import mapped
from tfod_transfer.data.writers.recordio import image_record
from tfod_transfer.errors import DataError

MAGIC = bytes.fromhex("0a23d7ce")

# Written out by hand after dmlc-core's recordio.h and MXNet's IRHeader.
IMAGE_RECORD = bytes.fromhex(
    "0a23d7ce"  # magic number 0xCED7230A
    "39000000"  # the whole record in one part; 57 bytes
    "07000000"  # flag: 7 numbers follow the header
    "00000000"  # label, not used
    "0b00000000000000"  # id: 11
    "0000000000000000"  # id2
    "00000040 0000a040"  # header of 2 numbers, objects of 5
    "00004040 0000803e 0000003f 0000403f 0000803f"  # class 3; xmin 0.25, ymin 0.5, xmax 0.75, ymax 1
    "ffd8ffe041"  # the image
    "000000"  # up to a multiple of 4
)
PARTS = [
    ("no magic number", b"abcde", "0a23d7ce 05000000 6162636465 000000"),
    ("nothing", b"", "0a23d7ce 00000000"),
    ("in the middle", b"abcd" + MAGIC + b"ef", "0a23d7ce 04000020 61626364  0a23d7ce 02000060 6566 0000"),
    ("at the start", MAGIC + b"e", "0a23d7ce 00000020  0a23d7ce 01000060 65 000000"),
    ("at the end", b"abcd" + MAGIC, "0a23d7ce 04000020 61626364  0a23d7ce 00000060"),
    ("twice", MAGIC + MAGIC, "0a23d7ce 00000020  0a23d7ce 00000040  0a23d7ce 00000060"),
    ("not at a multiple of 4", b"ab" + MAGIC + b"cd", "0a23d7ce 08000000 6162 0a23d7ce 6364"),
]


def read_all(path: pathlib.Path) -> list[bytes]:
    with mapped(path) as content:
        found = [pieces for _, pieces in recordio_framing.records(content, str(path))]
    return [addresses.read(addresses.inside(path, pieces, "record")) for pieces in found]


def test_an_image_record_has_the_documented_bytes() -> None:
    label = np.float32([2, 5, 3, 0.25, 0.5, 0.75, 1])
    assert image_record(label, 11, bytes.fromhex("ffd8ffe041")).hex(" ") == IMAGE_RECORD.hex(" ")


@pytest.mark.parametrize(("payload", "framed"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS])
def test_a_record_is_parted_at_the_magic_number(tmp_path: pathlib.Path, payload: bytes, framed: str) -> None:
    assert recordio_framing.frame(payload).hex() == bytes.fromhex(framed).hex()
    (tmp_path / "a.rec").write_bytes(bytes.fromhex(framed))
    assert read_all(tmp_path / "a.rec") == [payload]


def test_parts_of_an_odd_length_are_put_together(tmp_path: pathlib.Path) -> None:
    """As no writer makes them, but the format allows."""
    parts = [(1, b"a"), (2, b"bcdef"), (3, b"")]
    framed = [
        MAGIC + struct.pack("<I", place << 29 | len(text)) + text + bytes(-len(text) % 4) for place, text in parts
    ]
    (tmp_path / "a.rec").write_bytes(b"".join(framed) + recordio_framing.frame(b"next"))
    assert read_all(tmp_path / "a.rec") == [b"a" + MAGIC + b"bcdef" + MAGIC, b"next"]


@given(payloads=st.lists(st.lists(st.sampled_from([MAGIC, b"a", b"bcd", b"\0"])).map(b"".join)))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "property.rec"
    path.write_bytes(b"".join(map(recordio_framing.frame, payloads)))
    assert read_all(path) == payloads


@given(cut=st.integers(1, 10_000))
def test_a_file_that_is_cut_off_anywhere_is_named_with_the_offset(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    payloads = [b"a" * 9, b"abcd" + MAGIC + b"efg", b"b" * 4]
    frames = list(map(recordio_framing.frame, payloads))
    whole, starts = b"".join(frames), np.cumsum([0, *map(len, frames)]).tolist()
    length = cut % len(whole)
    path = tmp_path_factory.getbasetemp() / "cut.rec"
    path.write_bytes(whole[:length])
    # A file may lack the zeros behind its last record.
    allowed = [length in range(end - padding, end + 1) for end, padding in zip(starts, (0, 3, 1, 0), strict=True)]
    if any(allowed):
        assert read_all(path) == payloads[: allowed.index(True)]
        return
    last = max(start for start in starts if start <= length)
    with pytest.raises(DataError, match=rf"cut\.rec.*cut off.*offset ({last}|{last + 12})\b"):
        read_all(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"\xff\xd8\xff\xe0 a photograph", r"offset 0, found 0xE0FFD8FF", id="an image"),
        pytest.param(
            recordio_framing.frame(b"good") + b"\0" * 16, r"damaged.*at offset 12, found 0x00000000", id="zeros behind"
        ),
        pytest.param(
            MAGIC + struct.pack("<I", 3 << 29), r"expected a record at offset 0, found a last part", id="a last part"
        ),
        pytest.param(
            MAGIC + struct.pack("<I", 1 << 29) + recordio_framing.frame(b"x"),
            r"expected a further part of the record at offset 0 at offset 8",
            id="a first part alone",
        ),
        pytest.param(MAGIC + struct.pack("<I", 1 << 29), r"record at offset 0 lacks its last part", id="no last part"),
        pytest.param(MAGIC + struct.pack("<I", 5 << 29), r"expected a record at offset 0, found part 5", id="part 5"),
    ],
)
def test_what_is_no_recordio_is_named_with_the_offset(tmp_path: pathlib.Path, content: bytes, message: str) -> None:
    (tmp_path / "a.rec").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.rec.*{message}"):
        read_all(tmp_path / "a.rec")


def test_a_record_may_not_be_longer_than_the_format_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordio_framing, "_LENGTH_MASK", 7)
    assert recordio_framing.frame(b"1234567")
    with pytest.raises(DataError, match="8 bytes"):
        recordio_framing.frame(b"12345678")
