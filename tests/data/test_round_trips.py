"""From every format into every other: what both can hold comes out as it went in."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import small_sets
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sets import COLUMNS, HEIGHT, WIDTH, assert_same

from tfod_transfer.data import addresses, writers
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats import read_dataset
from tfod_transfer.errors import DataError

PAIRS = list(itertools.product(writers.WRITERS, repeat=2))
# JSON does not say the order of its numbers, and a small set does not show it.
ORDERS = {"tf_json": "xyxy", "coco": "xywh"}
NO_CROWDS = {"recordio"}
BY_NAME = {"image_json", "voc"}  # their images have no other order


def convert(dataset: DetectionDataset, folder: pathlib.Path, name: str) -> tuple[DetectionDataset, list[str]]:
    lost = writers.write(dataset, folder / name, name, writers.Settings())
    return read_dataset(folder / name, box_order=ORDERS.get(name, "auto")), lost


sides = st.integers(0, 10 * WIDTH).map(lambda tenth: tenth / 10) | st.integers(0, WIDTH)
boxes = st.tuples(sides, sides, sides, sides).map(
    lambda box: (
        min(box[0], WIDTH - 2),
        min(box[1], HEIGHT - 2),
        min(max(box[2], box[0] + 1.5), WIDTH),
        min(max(box[3], box[1] + 1.5), HEIGHT),
    )
)
objects = st.tuples(boxes, st.integers(0, 2), st.booleans())
images = st.lists(st.lists(objects, max_size=3), min_size=1, max_size=3)
class_names = st.lists(
    st.text("abz é<&\"'\\", min_size=1, max_size=4).filter(lambda name: name == name.strip()),
    min_size=3,
    max_size=3,
    unique=True,
)
category_ids = st.sets(st.integers(0, 99), min_size=3, max_size=3).map(sorted)


def dataset_of(folder: pathlib.Path, contents: list[Any], names: list[str], ids: list[int]) -> DetectionDataset:
    """Columns of these images; classes that no box is of are left out, since no reader gives them."""
    used = sorted({label for each in contents for _, label, _ in each})
    return small_sets.write(
        folder,
        [[box for box, _, _ in each] for each in contents],
        classes=[[used.index(label) for _, label, _ in each] for each in contents],
        crowds=[[crowd for _, _, crowd in each] for each in contents],
        class_names=[names[label] for label in used],
        category_ids=[ids[label] for label in used],
    )


def held(dataset: DetectionDataset, *formats: str) -> DetectionDataset:
    """What is left of a data set in the formats on the way."""
    if NO_CROWDS & set(formats):
        dataset, _ = writers.target.without_crowds(dataset)
    return dataset


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{first} to {second}" for first, second in PAIRS])
@settings(max_examples=4)
@given(contents=images, names=class_names, ids=category_ids)
def test_pairs(
    tmp_path_factory: pytest.TempPathFactory,
    first: str,
    second: str,
    contents: list[Any],
    names: list[str],
    ids: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("round")
    original = dataset_of(folder / "original", contents, names, ids)
    one, _ = convert(original, folder / "one", first)
    two, _ = convert(one, folder / "two", second)
    expected = held(original, first, second)
    columns = COLUMNS
    if len(set(expected.classes.tolist())) < original.num_classes:  # a class that only crowd regions had
        columns = tuple(column for column in COLUMNS if column not in ("classes", "class_names"))
        for each in (expected, two):
            assert [each.class_names[row] for row in each.classes] == [
                expected.class_names[row] for row in expected.classes
            ]
    assert_same(expected, two, columns)
    assert not [finding for finding in two.findings if finding.action == "dropped"]
    for path, copy in zip(original.image_paths, two.image_paths, strict=True):
        assert addresses.read(path) == addresses.read(copy)
        assert addresses.name(path) == addresses.name(copy)
    if {first, second} <= {"tf_json", "coco"}:
        assert (two.category_ids, two.image_ids) == (original.category_ids, original.image_ids)


@pytest.mark.parametrize("name", writers.WRITERS)
def test_blood_cells_have_the_same_columns_in_every_format(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, name: str
) -> None:
    original = read_dataset(shared("data/bccd/test"))
    converted, _ = convert(original, tmp_path, name)
    assert_same(original, converted)
    assert not converted.findings


@pytest.mark.parametrize("name", sorted(set(writers.WRITERS) - BY_NAME))
def test_photographs_with_fractions_and_an_order_of_their_own(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, name: str
) -> None:
    original = read_dataset(shared("data/coco_permissive"))
    converted, _ = convert(original, tmp_path, name)
    assert_same(original, converted)


LOST = [
    ("tf_json", []),
    ("coco", ["image ids", "category ids"]),
    ("image_json", ["category ids", "image ids"]),
    ("augmented_manifest", ["category ids", "image ids"]),
    ("recordio", ["category ids", "class names", "crowd regions", "image ids"]),
    ("voc", ["image ids", "category ids", "crowd regions"]),
    ("tfrecord", ["category ids"]),
]


@pytest.mark.parametrize(("name", "lost"), LOST, ids=[row[0] for row in LOST])
def test_what_cannot_be_held_is_told(tmp_path: pathlib.Path, name: str, lost: list[str]) -> None:
    dataset = small_sets.write(
        tmp_path / "original",
        [[(1, 2, 30, 40), (0, 0, 9, 9)], []],
        crowds=[[False, True], []],
        category_ids=("a",),
        image_ids=("x", "y"),
    )
    _, told = convert(dataset, tmp_path, name)
    assert [sentence.split(":")[0].split(",")[0] for sentence in told] == lost


class TestNames:
    @pytest.mark.parametrize("name", writers.WRITERS)
    def test_files_that_are_called_alike_stay_apart(self, tmp_path: pathlib.Path, name: str) -> None:
        files = ["a/x.png", "b/x.png", "b/x.jpg", "X.png"]
        dataset = small_sets.write(tmp_path / "original", [[(1, 2, 30, 40)]] * 4, names=files)
        converted, _ = convert(dataset, tmp_path, name)
        contents = {addresses.read(path) for path in converted.image_paths}
        assert contents == {addresses.read(path) for path in dataset.image_paths}

    def test_images_without_an_ending_get_one(self, tmp_path: pathlib.Path) -> None:
        dataset = small_sets.write(tmp_path / "original", [[(1, 2, 30, 40)]], names=["photo"])
        converted, _ = convert(dataset, tmp_path, "tf_json")
        assert pathlib.Path(converted.image_paths[0]).name == "photo.png"

    def test_names_that_lead_elsewhere_are_not_followed(self, tmp_path: pathlib.Path) -> None:
        dataset = small_sets.write(tmp_path / "original", [[(1, 2, 30, 40)]])
        path = pathlib.Path(dataset.image_paths[0])
        inside = addresses.inside(path, [(0, path.stat().st_size)], "../../evil.png")
        converted, _ = convert(DetectionDataset(**{**vars(dataset), "image_paths": [inside]}), tmp_path, "coco")
        assert converted.image_paths == [str(tmp_path / "coco" / "images" / "evil.png")]

    @pytest.mark.parametrize("name", ["voc", "recordio"])
    @pytest.mark.parametrize("bad", ["", " a", "a\nb", "a\0b"])
    def test_a_class_that_has_no_place_in_a_line_is_refused(self, tmp_path: pathlib.Path, name: str, bad: str) -> None:
        dataset = small_sets.write(tmp_path / "original", [[(1, 2, 30, 40)]], class_names=(bad,))
        with pytest.raises(DataError, match="rename it"):
            convert(dataset, tmp_path, name)
        assert [path.name for path in tmp_path.iterdir()] == ["original"]


def test_orientation_is_kept(tmp_path: pathlib.Path) -> None:
    (tmp_path / "original").mkdir()
    path = tmp_path / "original" / "a.jpg"
    path.write_bytes(small_sets.encoded(0, "JPEG", orientation=6))
    dataset = small_sets.write(tmp_path / "other", [[(1, 2, 30, 40)]])
    turned = DetectionDataset(
        **{
            **vars(dataset),
            "image_paths": [str(path)],
            "sizes": np.array([[WIDTH, HEIGHT]], np.int32),
            "orientations": np.array([6], np.uint8),
        }
    )
    for name in writers.WRITERS:
        converted, _ = convert(turned, tmp_path, name)
        assert_same(turned, converted)
