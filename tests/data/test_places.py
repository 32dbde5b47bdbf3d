"""Which format a folder or a file is in, and what is said where that is not clear."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest
import small_sets
from small_sets import encoded

from tfod_transfer.data import writers
from tfod_transfer.data.formats import places, read_dataset, recordio_framing
from tfod_transfer.errors import DataError

IMAGE_JSON = json.dumps({"file": "a.png", "annotations": []})
SINGLE = {"images": [], "annotations": []}
Make = Callable[[pathlib.Path], object]


def file(name: str, content: str | bytes) -> Make:
    def make(folder: pathlib.Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


RECORDS = recordio_framing.frame(b"x")
TFRECORD = bytes.fromhex("0000000000000000 29039807 d8ea82a2")  # one record of no bytes


@pytest.mark.parametrize(
    ("makes", "given", "expected"),
    [
        pytest.param([file("annotations.json", json.dumps(SINGLE))], ".", "json", id="annotations.json"),
        pytest.param([file("annotations.json", "{broken")], ".", "json", id="broken annotations.json"),
        pytest.param([file("coco.json", json.dumps(SINGLE, indent=1))], "coco.json", "json", id="JSON of another name"),
        pytest.param([file("annotations.json", '{"source-ref": "a"}\n')], ".", "manifest", id="a manifest called so"),
        pytest.param([file("a.manifest", '\ufeff{"source-ref": "a"}\n')], ".", "manifest", id="manifest"),
        pytest.param([file("a.txt", '{"source-ref": "a"}\n')], "a.txt", "manifest", id="manifest of another name"),
        pytest.param([file("a.rec", RECORDS)], ".", "recordio", id="RecordIO"),
        pytest.param([file("a.dat", RECORDS)], "a.dat", "recordio", id="RecordIO of another name"),
        pytest.param([file("a.rec", b"")], ".", "recordio", id="empty RecordIO"),
        pytest.param([file("a.rec", RECORDS), file("a.idx", ""), file("a.lst", "")], "a.idx", "recordio", id="index"),
        pytest.param([file("a.rec", RECORDS), file("a.lst", "")], ".", "recordio", id="RecordIO and its list"),
        pytest.param([file("a.lst", "0\t2\t5\ta.png\n")], ".", "lst", id="list"),
        pytest.param([file("a.tfrecord", TFRECORD)], ".", "tfrecord", id="TFRecord"),
        pytest.param([file("a-00000-of-00001", TFRECORD)], ".", "tfrecord", id="TFRecord, one of a set"),
        pytest.param([file("a.bin", TFRECORD)], "a.bin", "tfrecord", id="TFRecord of another name"),
        pytest.param([file("Annotations/a.xml", "<annotation/>")], ".", "voc", id="VOC"),
        pytest.param([file("a.xml", "<annotation/>"), file("a.png", "")], ".", "voc", id="XML beside images"),
        pytest.param([file("a/a.png", ""), file("a_annotation/a.json", IMAGE_JSON)], "a", "image_json", id="channels"),
        pytest.param([file("annotations/a.json", IMAGE_JSON)], ".", "image_json", id="a folder of JSON files"),
        pytest.param([file("notes.json", "[]"), file("a.json", IMAGE_JSON)], ".", "image_json", id="one of them other"),
    ],
)
def test_the_format_is_found_out(tmp_path: pathlib.Path, makes: list[Make], given: str, expected: str) -> None:
    for make in makes:
        make(tmp_path)
    assert places.locate(str(tmp_path / given)).format == expected


@pytest.mark.parametrize(
    ("makes", "given", "message"),
    [
        pytest.param(
            [file("annotations.json", json.dumps(SINGLE)), file("a.rec", RECORDS)],
            ".",
            r"several data sets, annotations in JSON \(annotations\.json\) and RecordIO \(a\.rec\): give the file",
            id="two formats",
        ),
        pytest.param(
            [file("a.rec", RECORDS), file("b.rec", RECORDS)], ".", r"2 data sets.*of a\.rec, b\.rec", id="two files"
        ),
        pytest.param([file("a.png", ""), file("b.txt", "")], ".", r"expected.*It holds a\.png, b\.txt", id="nothing"),
        pytest.param(
            [file("a.rec", b"\xff\xd8\xff\xe0 a photograph")],
            "a.rec",
            "damaged or no RecordIO.*at offset 0",
            id="other content",
        ),
        pytest.param([file("a.csv", "1,2")], "a.csv", r"a\.csv is not a JSON file, or one of another format", id="CSV"),
        pytest.param([file("a.xml", "<annotation/>")], "a.xml", "describes a single image", id="one XML file"),
        pytest.param([file("a.json.gz", b"\x1f\x8b\x08")], "a.json.gz", "compressed with gzip", id="gzip"),
    ],
)
def test_what_is_not_clear_is_said(tmp_path: pathlib.Path, makes: list[Make], given: str, message: str) -> None:
    for make in makes:
        make(tmp_path)
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path / given)


@pytest.mark.parametrize(
    ("path", "annotations", "message"),
    [
        ("a/a.png", "labels", "is a file; with annotations in a place of their own"),
        ("a", "lables", "lables does not exist.*Did you mean 'labels'"),
        ("a", "a", r"has no annotations: expected a JSON or XML file.*It holds a\.png"),
    ],
)
def test_two_places_have_to_fit(tmp_path: pathlib.Path, path: str, annotations: str, message: str) -> None:
    for make in (file("a/a.png", encoded(0)), file("labels/a.json", IMAGE_JSON)):
        make(tmp_path)
    assert len(read_dataset(tmp_path / "a", tmp_path / "labels")) == 1
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path / path, tmp_path / annotations)


def test_no_format_needs_tensorflow_to_be_read(tmp_path: pathlib.Path) -> None:
    dataset = small_sets.write(tmp_path / "source", [[(40, 10, 60, 30)]])
    for name in writers.WRITERS:
        writers.write(dataset, tmp_path / name, name, writers.Settings())
    code = (
        "import sys; from tfod_transfer.data.formats import read_dataset\n"
        f"for name in {list(writers.WRITERS)}: assert read_dataset({str(tmp_path)!r} + '/' + name).num_boxes == 1\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(__file__).parents[2])
