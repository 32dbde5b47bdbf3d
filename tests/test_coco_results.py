"""Detections as COCO's results: ids, pixels, and what pycocotools makes of them."""

from __future__ import annotations

import json
import pathlib

import pytest
from pycocotools.coco import COCO

from tfod_transfer import coco_results, errors

ANNOTATIONS = {
    "images": [
        {"id": 5, "file_name": "cat.jpg", "width": 200, "height": 100},
        {"id": "x", "file_name": "val/cat.jpg", "width": 200, "height": 100},
    ],
    "annotations": [],
    "categories": [{"id": 3, "name": "cat"}],
}


@pytest.fixture
def annotations(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(ANNOTATIONS))
    return str(path)


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        pytest.param("val2017/000000000139.jpg", 139, id="COCO's"),
        pytest.param("COCO_val2014_000000000042.jpg", 42, id="COCO's of 2014"),
        pytest.param("s3://b/7.png", 7, id="address"),
    ],
)
def test_a_name_may_end_with_the_id(name: str, image_id: int) -> None:
    assert coco_results.image_ids([name]) == [image_id]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["1.jpg", "cat.jpg"], r"^cat\.jpg: .* does not end with a number; .* --annotations", id="none"),
        pytest.param(["a/1.jpg", "b/01.jpg"], r"^a/1\.jpg and b/01\.jpg both have the number 1", id="twice"),
    ],
)
def test_names_without_an_id_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(errors.UsageError, match=message):
        coco_results.image_ids(names)


def test_annotations_say_the_id_by_the_longest_end_of_the_path(annotations: str) -> None:
    assert coco_results.image_ids(["data/val/cat.jpg", "data/train/cat.jpg"], annotations) == ["x", 5]
    with pytest.raises(errors.DataError, match=r"has no image with the file_name of 'cap.jpg'. Did you mean 'cat.jpg'"):
        coco_results.image_ids(["cap.jpg"], annotations)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"images": [{"id": 1}]}', '{"images": 3}'])
def test_other_files_are_refused(content: str | None, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.DataError, match=r"other\.json: expected a JSON file with \"images\""):
        coco_results.image_ids(["1.jpg"], str(path))


def test_results_are_in_pixels_and_pycocotools_reads_them(annotations: str, tmp_path: pathlib.Path) -> None:
    rows = coco_results.rows(5, (200, 100), [[0.1, 0.2, 0.5, 0.7]], [3], [0.25])
    assert rows == [{"image_id": 5, "category_id": 3, "bbox": [40.0, 10.0, 100.0, 40.0], "score": 0.25}]
    (tmp_path / "predictions.json").write_text(json.dumps(rows))
    loaded = COCO(annotations).loadRes(str(tmp_path / "predictions.json"))
    assert [annotation["area"] for annotation in loaded.loadAnns(loaded.getAnnIds(imgIds=[5]))] == [4000.0]
