"""TFRecord: TensorFlow's own files taken apart without it, the Object Detection API's keys, damage."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from records_on_disk import reasons
from small_sets import HEIGHT, WIDTH, encoded

from tfod_transfer.data import addresses
from tfod_transfer.data.formats import read_dataset, tf_example, tfrecord_framing
from tfod_transfer.data.formats.files import mapped
from tfod_transfer.errors import DataError

Values = dict[str, list[Any]]
BOX = {"xmin": 0.25, "ymin": 0.5, "xmax": 0.75, "ymax": 1.0}


def example(number: int = 0, boxes: int = 1, **changed: list[Any] | None) -> Values:
    values: Values = {
        "image/encoded": [encoded(number)],
        "image/height": [HEIGHT],
        "image/width": [WIDTH],
        "image/filename": [f"{number}.png".encode()],
        "image/source_id": [b"%d" % (100 + number)],
        **{f"image/object/bbox/{side}": [value] * boxes for side, value in BOX.items()},
        "image/object/class/label": [7] * boxes,
        "image/object/class/text": [b"cat"] * boxes,
    }
    values.update({key.replace("__", "/"): value for key, value in changed.items() if value is not None})
    return {key: value for key, value in values.items() if changed.get(key.replace("/", "__"), value) is not None}


def serialized(values: Values) -> bytes:
    def feature(value: list[Any]) -> tf.train.Feature:
        if value and isinstance(value[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
        if value and isinstance(value[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=value))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

    features = tf.train.Features(feature={key: feature(value) for key, value in values.items()})
    return bytes(tf.train.Example(features=features).SerializeToString())


def write(path: pathlib.Path, *records: Values | bytes) -> pathlib.Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else serialized(record))
    return path


@given(
    payloads=st.lists(
        st.dictionaries(
            st.text(max_size=5),
            st.lists(st.binary(max_size=300), min_size=1, max_size=3)
            | st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3)
            | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
            max_size=4,
        ),
        max_size=3,
    )
)
def test_tensorflows_own_files_are_taken_apart(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[Values]
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "property.tfrecord", *payloads)
    with mapped(path) as content:
        found = [tf_example.parse(content, record) for _, record in tfrecord_framing.records(content, str(path))]
        read = [
            {
                key: [bytes(content[start : start + size]) for start, size in each.pieces] + each.floats + each.integers
                for key, each in features.items()
            }
            for features in found
        ]
    assert read == payloads


def test_numbers_that_are_not_packed_are_read() -> None:
    """As protocol buffers allow and other writers do: a key before each number."""
    number, half = b"\x08\x05\x08\x07", b"\x0d\x00\x00\x00\x3f"
    floats, integers = b"\x12" + bytes([len(half)]) + half, b"\x1a" + bytes([len(number)]) + number

    def entry(key: bytes, feature: bytes) -> bytes:
        inner = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(feature)]) + feature
        return b"\x0a" + bytes([len(inner)]) + inner

    features = entry(b"f", floats) + entry(b"i", integers)
    content = b"\x0a" + bytes([len(features)]) + features
    parsed = tf_example.parse(memoryview(content), (0, len(content)))
    assert (parsed["f"].floats, parsed["i"].integers) == ([0.5], [5, 7])


def test_columns(tmp_path: pathlib.Path) -> None:
    crowd = example(1, 2, image__object__is_crowd=[0, 1])
    path = write(tmp_path / "train.record", example(0), crowd, example(2, 0))
    dataset = read_dataset(tmp_path)
    assert dataset.boxes.tolist() == [[0.5, 0.25, 1.0, 0.75]] * 3
    assert dataset.is_crowd.tolist() == [False, False, True]
    assert dataset.offsets.tolist() == [0, 1, 3, 3]
    assert (dataset.class_names, dataset.category_ids) == (("cat",), (7,))
    assert dataset.image_ids == [100, 101, 102]
    assert [addresses.read(each) for each in dataset.image_paths] == [encoded(0), encoded(1), encoded(2)]
    assert [addresses.name(each) for each in dataset.image_paths] == ["0.png", "1.png", "2.png"]
    assert not dataset.findings
    assert dataset.description.startswith(f"{path} (TFRecord)")


@pytest.mark.parametrize(
    ("changed", "names", "ids"),
    [
        pytest.param({"image__object__class__text": None}, ("7",), (7,), id="no texts"),
        pytest.param({"image__object__class__label": None}, ("cat",), ("cat",), id="no labels"),
        pytest.param({"image__filename": None, "image__source_id": None}, ("cat",), (7,), id="no names"),
        pytest.param({"image__height": None, "image__width": None}, ("cat",), (7,), id="no size"),
    ],
)
def test_what_may_be_missing(
    tmp_path: pathlib.Path, changed: dict[str, None], names: tuple[str, ...], ids: tuple[Any, ...]
) -> None:
    dataset = read_dataset(write(tmp_path / "a.tfrecord", example(0, **changed)))
    assert (dataset.class_names, dataset.category_ids, dataset.num_boxes) == (names, ids, 1)
    assert [reason for reason, _ in reasons(dataset)] == (["missing_size"] if "image__height" in changed else [])


def test_names_come_from_a_label_map(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.tfrecord", example(0, image__object__class__text=None))
    odd, first = 'item { id: "7" name: "mouse" } ', "item { id: 3 name: 'dog' }\n"
    items = odd + first + 'item {\n  name: "/m/01yrx"\n  id: 7\n  display_name: "Cat"\n}\n'
    (tmp_path / "labels.pbtxt").write_text(items)
    assert read_dataset(tmp_path).class_names == ("Cat",)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        pytest.param(example(1, image__encoded=None), "no image/encoded", id="no image"),
        pytest.param(example(1, image__object__bbox__xmin=[0.1, 0.2]), r"found \[2, 1, 1, 1\] and 1", id="two xmin"),
        pytest.param(example(1, image__object__class__label=[1, 2, 3]), r"\[1, 1, 1, 1\] and 3", id="three labels"),
        pytest.param(b"\xff\xff\xff", "a number is cut off", id="no Example"),
        pytest.param(b"\x0a\x7fabc", "longer than the record", id="a field too long"),
        pytest.param(b"\x0b", "no wire type 3", id="a group"),
    ],
)
def test_a_bad_record_is_named(tmp_path: pathlib.Path, record: Values | bytes, message: str) -> None:
    dataset = read_dataset(write(tmp_path / "a.tfrecord", example(0), record))
    (finding,) = dataset.findings
    assert finding.reason == "bad_record"
    assert "record at offset" in finding.file
    assert re.search(message, finding.message)


class TestFiles:
    def test_a_set_of_files_is_one_data_set(self, tmp_path: pathlib.Path) -> None:
        for number in range(3):
            write(tmp_path / f"train.record-{number:05d}-of-00003", example(number))
        assert read_dataset(tmp_path).image_ids == [100, 101, 102]
        assert len(read_dataset(tmp_path / "train.record-00001-of-00003")) == 3
        (tmp_path / "train.record-00002-of-00003").unlink()
        with pytest.raises(DataError, match=r"one of 3 files; 1 of them are missing, train\.record-00002-of-00003"):
            read_dataset(tmp_path)

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            pytest.param(lambda whole: whole[:-1], r"cut off: the record at offset \d+ has .* 1 are missing", id="cut"),
            pytest.param(
                lambda whole: whole + b"\0" * 5, r"cut off in the header of the record at", id="half a header"
            ),
            pytest.param(
                lambda whole: whole + b"\1" * 12, r"damaged.*checksum at offset \d+ is wrong", id="more behind"
            ),
            pytest.param(lambda whole: b"", r"is empty", id="empty"),
            pytest.param(lambda whole: b"x" + whole, r"damaged or no TFRecord: the checksum at offset 0", id="foreign"),
        ],
    )
    def test_a_damaged_file_is_named_with_the_offset(self, tmp_path: pathlib.Path, damage: Any, message: str) -> None:
        path = write(tmp_path / "a.tfrecord", example(0), example(1))
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(DataError, match=rf"a\.tfrecord.*{message}"):
            read_dataset(path)

    def test_a_compressed_file_is_explained(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "a.tfrecord"
        with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
            writer.write(serialized(example()))
        with pytest.raises(DataError, match=r"a\.tfrecord is compressed with gzip.*unpack it"):
            read_dataset(path)
