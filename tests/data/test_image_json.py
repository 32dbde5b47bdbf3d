"""SageMaker's channels of images and annotations, and the names that their categories tell, or do not."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from records_on_disk import reasons
from small_sets import HEIGHT, WIDTH, encoded

from tfod_transfer.data.formats import read_dataset
from tfod_transfer.errors import DataError

Write = Callable[..., pathlib.Path]


def box(
    class_id: Any = 0, left: Any = 16, top: Any = 24, width: Any = 32, height: Any = 24, **more: Any
) -> dict[str, Any]:
    return {"class_id": class_id, "left": left, "top": top, "width": width, "height": height, **more}


def labels(file: str, *boxes: Any, categories: Any = None, **more: Any) -> dict[str, Any]:
    size = [{"width": WIDTH, "height": HEIGHT, "depth": 3}]
    listed = {} if categories is None else {"categories": [{"class_id": key, "name": name} for key, name in categories]}
    return {"file": file, "image_size": size, "annotations": list(boxes), **listed, **more}


@pytest.fixture
def channels(tmp_path: pathlib.Path) -> Write:
    """Writes a channel of images and one of annotations; gives the folder of images."""

    def write(*contents: Any, images: tuple[str, ...] = ("a.png", "b.png")) -> pathlib.Path:
        for number, name in enumerate(images):
            path = tmp_path / "train" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(number))
        (tmp_path / "train_annotation").mkdir()
        for number, content in enumerate(contents):
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / "train_annotation" / f"{number}.json").write_text(text)
        return tmp_path / "train"

    return write


@pytest.mark.parametrize("annotations", [None, "train_annotation"], ids=["found beside", "given"])
def test_channels(channels: Write, annotations: str | None) -> None:
    folder = channels(
        labels("a.png", box(0), box(1, 0, 0, 64, 48, iscrowd=1)), labels("sub/b.png"), images=("a.png", "sub/b.png")
    )
    dataset = read_dataset(folder, None if annotations is None else folder.parent / annotations)
    assert dataset.boxes.tolist() == [[0.5, 0.25, 1.0, 0.75], [0, 0, 1, 1]]
    assert dataset.is_crowd.tolist() == [False, True]
    assert dataset.offsets.tolist() == [0, 2, 2]
    assert dataset.category_ids == (0, 1)
    assert list(dataset.image_ids) == ["a.png", "sub/b.png"]
    assert dataset.image_paths[1] == str(folder / "sub/b.png")
    assert not dataset.findings
    assert "(a JSON file for each image)" in dataset.description


@pytest.mark.parametrize(
    ("content", "boxes", "found"),
    [
        pytest.param(labels("b.png", box("1")), 2, [], id="class id as text"),
        pytest.param(labels("b.png", box(1.0)), 2, [], id="class id with a point"),
        pytest.param(labels("b.png", box("dog")), 2, [], id="class id in words"),
        pytest.param(labels("b.png", box(left="16", top="2.5")), 2, [], id="numbers as text"),
        pytest.param(labels("b.png", box(None)), 1, ["bad_record"], id="no class id"),
        pytest.param(labels("b.png", box(left=None)), 1, ["bad_record"], id="no left"),
        pytest.param(labels("b.png", box(left="x")), 1, ["bad_record"], id="text for left"),
        pytest.param(labels("b.png", {"class_id": 0}), 1, ["bad_record"], id="a class alone"),
        pytest.param(labels("b.png", 7), 1, ["bad_record"], id="a number for a box"),
        pytest.param(labels("b.png", box(width=0)), 1, ["zero_area_box"], id="no width"),
        pytest.param(labels("b.png", box(width=-8)), 2, ["reversed_corners"], id="negative width"),
        pytest.param(labels("b.png", box(left=100)), 1, ["box_outside"], id="outside"),
        pytest.param(labels("b.png", box(width=999)), 2, ["box_over_edge"], id="over the edge"),
        pytest.param(labels("b.png", box(left=10**400)), 1, ["bad_record"], id="a huge number"),
        pytest.param(labels("c.png", box()), 1, ["missing_image", "unlisted_file"], id="missing image"),
        pytest.param(labels("B.png", box()), 1, ["missing_image", "unlisted_file"], id="capitals"),
        pytest.param(labels("../b.png", box()), 1, ["unsafe_path", "unlisted_file"], id="another folder"),
        pytest.param(labels("a.png", box()), 2, ["duplicate_file_name", "unlisted_file"], id="an image twice"),
        pytest.param(labels("b.png", box(), image_size=None), 2, ["missing_size"], id="no size"),
        pytest.param(labels("b.png", box(), image_size=[{"width": 9, "height": 9}]), 1, ["size_mismatch"], id="size"),
        pytest.param({"annotations": [box()]}, 1, ["bad_record", "unlisted_file"], id="no file"),
        pytest.param({"file": "b.png"}, 1, ["bad_record", "unlisted_file"], id="no annotations"),
        pytest.param('{"file": "b.png", ', 1, ["bad_record", "unlisted_file"], id="broken"),
    ],
)
def test_records(channels: Write, content: Any, boxes: int, found: list[str]) -> None:
    dataset = read_dataset(channels(labels("a.png", box()), content), max_findings=1)
    assert dataset.num_boxes == boxes
    assert [reason for reason, _ in reasons(dataset)] == found
    of_file = [
        each
        for each in dataset.findings
        if each.reason not in ("missing_image", "unlisted_file", "missing_size", "size_mismatch")
    ]
    assert all(pathlib.Path(each.file).name == "1.json" for each in of_file)


FROM_NOTEBOOK = [  # numbered by the boxes in the one list, by COCO in the other
    labels("a.png", box(0), box(2), box(0), categories=[(1, "person"), (90, "toothbrush"), (1, "person")]),
    labels("b.png", box(1), categories=[(13, "stop sign")]),
]


@pytest.mark.parametrize(
    ("contents", "names", "found"),
    [
        pytest.param(
            [labels("a.png", box(1), box(0), categories=[(0, "dog"), (1, "cat")])], ("dog", "cat"), [], id="names"
        ),
        pytest.param(
            [labels("a.png", box(0), categories=[(0, "dog"), (7, "cow")])], ("dog",), ["unused_category"], id="more"
        ),
        pytest.param(
            [labels("a.png", box(0)), labels("b.png", box(0), categories=[(0, "dog")])], ("dog",), [], id="in one"
        ),
        pytest.param(FROM_NOTEBOOK, ("person", "stop sign", "toothbrush"), ["other_categories"], id="the notebook's"),
        pytest.param(
            [labels("a.png", box(0), box(1), categories=[(1, "person")])], ("0", "1"), ["other_categories"], id="fewer"
        ),
        pytest.param(
            [labels("a.png", box(0), categories=[(0, "dog")]), labels("b.png", box(0), categories=[(0, "cat")])],
            ("0",),
            ["other_categories"],
            id="files that differ",
        ),
        pytest.param(
            [labels("a.png", box(0), categories=[]) | {"categories": [7]}], ("0",), ["other_categories"], id="no list"
        ),
    ],
)
def test_names_are_taken_where_the_categories_agree_with_the_boxes(
    channels: Write, contents: list[Any], names: tuple[str, ...], found: list[str]
) -> None:
    dataset = read_dataset(channels(*contents, images=("a.png", "b.png")[: len(contents)]))
    assert dataset.class_names == names
    assert reasons(dataset) == [(reason, "noted") for reason in found]


def test_orientation_counts(channels: Write) -> None:
    folder = channels(labels("a.jpg", box(left=0, top=0, width=24, height=32), image_size=None), images=())
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encoded(0, "JPEG", orientation=6))
    dataset = read_dataset(folder)
    assert dataset.sizes.tolist() == [[WIDTH, HEIGHT]]
    np.testing.assert_allclose(dataset.boxes, [[0, 0, 0.5, 0.5]])


@pytest.mark.parametrize("layout", ["one folder", "annotations and images"])
def test_other_layouts(tmp_path: pathlib.Path, layout: str) -> None:
    parts = ("images", "annotations") if layout == "annotations and images" else (".", ".")
    for part in parts:
        (tmp_path / part).mkdir(exist_ok=True)
    (tmp_path / parts[0] / "a.png").write_bytes(encoded(0))
    (tmp_path / parts[1] / "a.json").write_text(json.dumps(labels("a.png", box())))
    assert read_dataset(tmp_path).num_boxes == 1


def test_a_single_file_is_not_taken_for_the_data_set(channels: Write) -> None:
    folder = channels(labels("a.png", box()))
    with pytest.raises(DataError, match=r"0\.json describes a single image; give the folder of images"):
        read_dataset(folder.parent / "train_annotation" / "0.json")
