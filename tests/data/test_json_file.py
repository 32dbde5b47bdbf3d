"""Annotation files that are not JSON, not of the form, or have single records that cannot be read."""

from __future__ import annotations

import codecs
import json
import pathlib
from typing import Any

import pytest

from tfod_transfer.data.formats import json_file
from tfod_transfer.errors import DataError

IMAGE = {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}
BOX = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}


def decode(tmp_path: pathlib.Path, content: Any) -> json_file.AnnotationFile:
    path = tmp_path / "annotations.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return json_file.decode(str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "not valid JSON: Expecting value at line 1, column 1", id="empty"),
        pytest.param('{"images": [],\n "annotations": [', "line 2, column 18", id="cut off"),
        pytest.param('{"images": [],\n\n "annotations" []}', "line 3, column 16", id="a colon missing"),
        pytest.param('{"images": [{"id": 1,}]}', "line 1, column 2[12]", id="a comma too many"),
        pytest.param(b'{"images": "\xe9"}', "not text in UTF-8: byte 12 is 0xe9", id="Latin-1"),
        pytest.param("[" * 100_000, "nested too deeply", id="nested deeply"),
        pytest.param([1, 2], "found a list", id="a list"),
        pytest.param("3", "found a number", id="a number"),
        pytest.param({"a": 1, "b": 2}, r"found the keys \['a', 'b'\]", id="other keys"),
        pytest.param({"images": []}, r"found the keys \['images'\]", id="no annotations"),
        pytest.param({"images": [], "annotations": {}}, "'annotations' is an object", id="annotations by key"),
        pytest.param({"images": None, "annotations": []}, "'images' is null", id="null"),
    ],
)
def test_a_file_that_is_not_of_the_form_is_refused(tmp_path: pathlib.Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        decode(tmp_path, content)
    assert "annotations.json" in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(json.dumps({"images": [IMAGE], "annotations": [BOX]}).encode(), id="plain"),
        pytest.param(codecs.BOM_UTF8 + json.dumps({"images": [IMAGE], "annotations": [BOX]}).encode(), id="UTF-8 mark"),
        pytest.param(json.dumps({"images": [IMAGE], "annotations": [BOX]}).encode("utf-16"), id="UTF-16"),
        pytest.param({"images": [IMAGE], "annotations": [BOX], "categories": None}, id="categories null"),
        pytest.param({"info": {}, "images": [IMAGE], "annotations": [{**BOX, "area": 1, "x": [{}]}]}, id="extra keys"),
        pytest.param({"images": [IMAGE], "annotations": [{**BOX, "iscrowd": None}]}, id="iscrowd null"),
        pytest.param({"images": [{**IMAGE, "id": 1.0}], "annotations": [{**BOX, "image_id": 1.0}]}, id="ids 1.0"),
        pytest.param({"images": [IMAGE], "annotations": [{**BOX, "bbox": ["1", "2.0", 3, 4]}]}, id="numbers as text"),
    ],
)
def test_unusual_files_read_like_plain_ones(tmp_path: pathlib.Path, content: Any) -> None:
    file = decode(tmp_path, content)
    image, box = file.images[0], file.annotations[0]
    assert image is not None
    assert box is not None
    assert (image.id, image.file_name, image.width, image.height) == (1, "a.jpg", 640, 480)
    assert (box.image_id, box.category_id, box.bbox, bool(box.iscrowd)) == (1, 2, (1, 2, 3, 4), False)
    assert not file.findings


@pytest.mark.parametrize(
    ("key", "record", "message", "annotation_index"),
    [
        pytest.param("annotations", {**BOX, "bbox": [1, 2, 3]}, "length 4", 1, id="three numbers"),
        pytest.param("annotations", {**BOX, "bbox": None}, "null", 1, id="bbox null"),
        pytest.param("annotations", {**BOX, "bbox": [1, 2, 3, None]}, "null", 1, id="a number null"),
        pytest.param("annotations", {**BOX, "bbox": [1, 2, 3, "x"]}, "bbox", 1, id="a number text"),
        pytest.param("annotations", {"image_id": 1, "bbox": [1, 2, 3, 4]}, "category_id", 1, id="no category"),
        pytest.param("annotations", {**BOX, "category_id": True}, "bool", 1, id="category true"),
        pytest.param("annotations", {**BOX, "category_id": 1.5}, "category_id", 1, id="category 1.5"),
        pytest.param("annotations", [1, 2, 3, 4], "object", 1, id="a list for a record"),
        pytest.param("images", {"id": 7}, "file_name", None, id="no file name"),
        pytest.param("images", {"file_name": "b.jpg"}, "id", None, id="no id"),
        pytest.param("images", {**IMAGE, "width": "wide"}, "width", None, id="width is no number"),
        pytest.param("categories", {"id": 3}, "name", None, id="category without name"),
    ],
)
def test_one_bad_record_is_named_and_the_others_are_read(
    tmp_path: pathlib.Path, key: str, record: Any, message: str, annotation_index: int | None
) -> None:
    content: dict[str, list[Any]] = {"images": [IMAGE], "annotations": [BOX], "categories": [{"id": 2, "name": "n"}]}
    content[key].append(record)
    file = decode(tmp_path, content)
    assert [(each.reason, each.annotation_index) for each in file.findings] == [("bad_record", annotation_index)]
    assert message in file.findings[0].message
    assert f"{key}[1]" in file.findings[0].message
    assert [each is None for each in getattr(file, key)] == [False, True]


def test_nan_in_one_box_costs_no_other(tmp_path: pathlib.Path) -> None:
    boxes = [BOX, {**BOX, "bbox": [float("nan"), 2, float("inf"), 4]}]
    file = decode(tmp_path, {"images": [IMAGE], "annotations": boxes})
    assert [record is not None for record in file.annotations] == [True, True]


def test_huge_numbers_are_no_json_error(tmp_path: pathlib.Path) -> None:
    text = json.dumps({"images": [IMAGE], "annotations": [BOX]}).replace("[1, 2, 3, 4]", "[1, 2, 3, 1e999]")
    record = decode(tmp_path, text).annotations[0]
    assert record is not None
    assert record.bbox[3] == float("inf")
