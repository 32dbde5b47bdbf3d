"""RecordIO as data: detection labels in records and lists, and images with labels in JSON from a pipe."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
from records_on_disk import reasons
from small_sets import HEIGHT, WIDTH, encoded

from tfod_transfer.data import addresses
from tfod_transfer.data.formats import read_dataset, recordio, recordio_framing
from tfod_transfer.data.writers.recordio import image_record
from tfod_transfer.errors import DataError

LABEL = [2, 5, 0, 0.25, 0.5, 0.75, 1.0]
BOX = [0.5, 0.25, 1.0, 0.75]


def record(label: Sequence[float], number: int = 0) -> bytes:
    return image_record(np.float32(label), number, encoded(number))


def write(folder: pathlib.Path, *records: bytes) -> pathlib.Path:
    (folder / "train.rec").write_bytes(b"".join(records))
    return folder


@pytest.mark.parametrize(
    ("label", "boxes", "classes", "found"),
    [
        pytest.param(LABEL, [BOX], [0], [], id="one object"),
        pytest.param([2, 5], [], [], [], id="no object"),
        pytest.param([4, 5, 640, 480, *LABEL[2:]], [BOX], [0], [], id="a longer header"),
        pytest.param([2, 6, *LABEL[2:], 1], [BOX], [0], [("unused_numbers", "noted")], id="an object with difficult"),
        pytest.param([*LABEL, *[-1] * 10], [BOX], [0], [], id="filled up"),
        pytest.param([2, 5, -1, 0, 0, 0, 0], [], [], [], id="filled up with other numbers"),
        pytest.param([*LABEL, 1.5, 0, 0, 1, 1], [BOX], [0], [("bad_record", "dropped")], id="a class between"),
        pytest.param([*LABEL, -2, 0, 0, 1, 1], [BOX], [0], [("bad_record", "dropped")], id="a negative class"),
        pytest.param([*LABEL, np.nan, 0, 0, 1, 1], [BOX], [0], [("bad_record", "dropped")], id="no number for a class"),
        pytest.param(
            [*LABEL, 0, 0.5, 0.5, 0.2, 0.9],
            [BOX, [0.5, 0.2, 0.9, 0.5]],
            [0, 0],
            [("reversed_corners", "reordered")],
            id="corners exchanged",
        ),
        pytest.param([*LABEL, 0, 0.5, 0.5, 0.5, 0.9], [BOX], [0], [("zero_area_box", "dropped")], id="no width"),
        pytest.param([*LABEL, 0, np.inf, 0.5, 0.5, 0.9], [BOX], [0], [("non_finite_box", "dropped")], id="infinite"),
        pytest.param([*LABEL, 0, 1.1, 1.1, 1.5, 1.5], [BOX], [0], [("box_outside", "dropped")], id="outside"),
    ],
)
def test_labels(
    tmp_path: pathlib.Path,
    label: list[float],
    boxes: list[list[float]],
    classes: list[int],
    found: list[tuple[str, str]],
) -> None:
    dataset = read_dataset(write(tmp_path, record(label), record(LABEL, 1)))
    rows = dataset.rows_of(0)
    np.testing.assert_allclose(dataset.boxes[rows], np.reshape(boxes, (-1, 4)))
    assert dataset.classes[rows].tolist() == classes
    assert dataset.sizes.tolist() == [[HEIGHT, WIDTH]] * 2
    assert reasons(dataset) == found
    assert all("record 0 at offset 0" in each.file for each in dataset.findings if each.action != "noted")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "one label for the whole image", id="classification"),
        pytest.param([2], r"expected the width of a header.*found 1 numbers", id="no widths"),
        pytest.param([1, 5, 0, 0, 0, 1, 1], r"expected the width of a header.*found 1 and 5", id="header of 1"),
        pytest.param([2, 4, 0, 0, 0, 1], r"found 2 and 4", id="objects of 4"),
        pytest.param([2, 5.5, 0, 0, 0, 1, 1], r"found 2 and 5\.5", id="objects of 5.5"),
        pytest.param([2, 5, 0, 0, 0, 1], r"6 numbers are no header of 2 and objects of 5", id="half an object"),
        pytest.param([np.nan, 5], r"found nan and 5", id="no number"),
        pytest.param([2, 1e30], r"found 2 and 1e\+30", id="an endless object"),
    ],
)
def test_a_record_without_detection_labels_is_named(
    tmp_path: pathlib.Path, content: bytes | list[float], message: str
) -> None:
    if isinstance(content, bytes):
        bad = recordio_framing.frame(recordio.HEADER.pack(0, 3.0, 1, 0) + encoded(1))
    else:
        bad = record(content)
    folder = write(tmp_path, record(LABEL), bad)
    (finding,) = read_dataset(folder).findings
    assert finding.reason == "bad_record"
    assert f"record 1 at offset {len(record(LABEL))}" in finding.file
    with pytest.raises(DataError, match=message):
        read_dataset(write(tmp_path, bad))


@pytest.mark.parametrize("payload", [b"", b"short", recordio.HEADER.pack(9, 0, 0, 0) + b"too short for 9"])
def test_a_record_of_something_else_is_named(tmp_path: pathlib.Path, payload: bytes) -> None:
    dataset = read_dataset(write(tmp_path, record(LABEL), recordio_framing.frame(payload)))
    assert reasons(dataset) == [("bad_record", "dropped")]


def test_pixels_are_not_taken_for_shares(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"record 0 at offset 0: \[10.*expected.*from 0 to 1.*divide pixels"):
        read_dataset(write(tmp_path, record([2, 5, 0, 10, 20, 30, 40])))


def test_ids_names_and_classes_come_from_the_files_beside(tmp_path: pathlib.Path) -> None:
    folder = write(tmp_path, record(LABEL, 7), record([2, 5, 1, 0, 0, 1, 1], 3))
    dataset = read_dataset(folder)
    assert dataset.image_ids == [7, 3]
    assert [addresses.name(path) for path in dataset.image_paths] == ["000000007", "000000003"]
    assert dataset.class_names == ("0", "1")
    (folder / "train.lst").write_text("7\t2\t5\tsub/a.jpg\n3\t2\t5\tb.png\nno list\n")
    (folder / "train.idx").write_text(f"7\t0\n3\t{len(record(LABEL, 7))}\n")
    (folder / "classes.txt").write_text("cat\ndog\n")
    dataset = read_dataset(folder / "train.idx")
    assert [addresses.parse(path).name for path in dataset.image_paths] == ["sub/a.jpg", "b.png"]
    assert dataset.class_names == ("cat", "dog")
    assert not dataset.findings
    assert "(RecordIO with detection labels)" in dataset.description


@pytest.mark.parametrize(
    ("index", "message"),
    [("0\t0\n", "lists 1 records, of 2"), ("0\t0\n1\t5\n", "a record at offset 5"), ("what\n", "at offset -1")],
)
def test_an_index_of_another_file_is_noted(tmp_path: pathlib.Path, index: str, message: str) -> None:
    folder = write(tmp_path, record(LABEL), record(LABEL, 1))
    (folder / "train.idx").write_text(index)
    (finding,) = read_dataset(folder).findings
    assert (finding.reason, finding.action) == ("other_index", "noted")
    assert message in finding.message


def test_ids_that_repeat_are_replaced(tmp_path: pathlib.Path) -> None:
    assert read_dataset(write(tmp_path, record(LABEL), record(LABEL))).image_ids == [0, 1]


def test_an_image_in_parts_is_one(tmp_path: pathlib.Path) -> None:
    """An image with RecordIO's magic number in it, behind a label that has it, too."""
    magic = np.frombuffer(bytes.fromhex("0a23d7ce"), "<f4")[0]
    image = encoded(0, "JPEG")
    image += bytes(-len(image) % 4) + bytes.fromhex("0a23d7ce") + b"behind the end of the image"
    (tmp_path / "train.rec").write_bytes(image_record(np.float32([3, 5, magic, *LABEL[2:]]), 0, image))
    dataset = read_dataset(tmp_path)
    assert len(addresses.parse(dataset.image_paths[0]).segments) == 2
    assert addresses.read(dataset.image_paths[0]) == image
    assert dataset.boxes.tolist() == [BOX]


def test_an_empty_file_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"train\.rec is empty"):
        read_dataset(write(tmp_path))


def test_a_truncated_file_is_named_with_the_offset(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=rf"train\.rec is cut off: the record at offset {len(record(LABEL))}"):
        read_dataset(write(tmp_path, record(LABEL), record(LABEL, 1)[:-40]))


class TestLists:
    def test_a_list_without_records_is_read_with_its_images(self, tmp_path: pathlib.Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a.png").write_bytes(encoded(0))
        (tmp_path / "b.png").write_bytes(encoded(1))
        lines = [
            "0\t2\t5\t0\t0.25\t0.5\t0.75\t1\tsub/a.png",
            "1\t2\t5\tb.png",
            "x\ty",
            "inf\t2\t5\tb.png",
            "2\t2\t5\t0\t0\t0\t1\t1\tc.png",
        ]
        (tmp_path / "train.lst").write_text("\n".join(lines))
        dataset = read_dataset(tmp_path, max_findings=1)
        assert (len(dataset), dataset.boxes.tolist()) == (2, [BOX])
        found = [(each.reason, pathlib.Path(each.file).name) for each in dataset.findings]
        assert found == [
            ("bad_record", "train.lst line 3"),
            ("bad_record", "train.lst line 4"),
            ("missing_image", "c.png"),
        ]


def pair(number: int, labels: object) -> bytes:
    text = labels if isinstance(labels, bytes) else json.dumps(labels).encode()
    return recordio_framing.frame(encoded(number)) + recordio_framing.frame(text)


JSON_BOX = {"class_id": "0", "left": 16, "top": 24, "width": 32, "height": 24}
JSON_LABELS = {"image_size": [{"width": WIDTH, "height": HEIGHT, "depth": 3}], "annotations": [JSON_BOX]}


class TestPairs:
    def test_images_and_labels_in_turn(self, tmp_path: pathlib.Path) -> None:
        metadata = recordio_framing.frame(json.dumps({"class-map": {"0": "cat"}}).encode())
        records = (pair(0, JSON_LABELS), metadata, pair(1, {"annotations": []}))
        dataset = read_dataset(write(tmp_path, *records))
        assert dataset.boxes.tolist() == [[0.5, 0.25, 1.0, 0.75]]
        assert dataset.offsets.tolist() == [0, 1, 1]
        assert dataset.class_names == ("cat",)
        assert [addresses.read(path) for path in dataset.image_paths] == [encoded(0), encoded(1)]
        assert "images and labels in JSON" in dataset.description

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            pytest.param(pair(1, b"{broken"), "not valid JSON", id="broken JSON"),
            pytest.param(pair(1, [1]), "expected an object", id="a list"),
            pytest.param(pair(1, {"x": 1}), "expected an object with the list", id="other keys"),
            pytest.param(recordio_framing.frame(encoded(1)), "expected an object with the list", id="no labels"),
        ],
    )
    def test_what_is_skipped_is_named(self, tmp_path: pathlib.Path, second: bytes, message: str) -> None:
        dataset = read_dataset(write(tmp_path, pair(0, JSON_LABELS), second, pair(2, JSON_LABELS)))
        assert len(dataset) == 2
        (finding,) = dataset.findings
        assert message in finding.message
        assert f"image 1 at offset {len(pair(0, JSON_LABELS))}" in finding.file

    def test_labels_before_images_are_explained(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(DataError, match="AttributeNames have to be source-ref and then"):
            read_dataset(write(tmp_path, recordio_framing.frame(json.dumps(JSON_LABELS).encode())))
