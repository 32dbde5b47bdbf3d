"""Images set apart for validation: seeded, stratified, every class on both sides."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats import read_dataset
from tfod_transfer.data.splits import split
from tfod_transfer.errors import DataError, UsageError

CLASSES = 5


def dataset(classes_of_images: Sequence[Sequence[int]]) -> DetectionDataset:
    counts = [len(classes) for classes in classes_of_images]
    total = sum(counts)
    return DetectionDataset(
        image_paths=[f"images/{index}.jpg" for index in range(len(counts))],
        image_ids=[1000 + index for index in range(len(counts))],
        sizes=np.full((len(counts), 2), 100, np.int32),
        orientations=np.ones(len(counts), np.uint8),
        boxes=np.tile(np.array([[0.1, 0.1, 0.5, 0.5]], np.float32), (total, 1)),
        classes=np.array([row for classes in classes_of_images for row in classes], np.int32),
        is_crowd=np.zeros(total, np.bool_),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        class_names=tuple("abcde"),
        category_ids=tuple(range(CLASSES)),
    )


def images_by_class(part: DetectionDataset) -> list[set[int | str]]:
    shown = [set(part.classes[part.rows_of(image)].tolist()) for image in range(len(part))]
    return [
        {image_id for image_id, rows in zip(part.image_ids, shown, strict=True) if row in rows}
        for row in range(CLASSES)
    ]


@given(
    st.lists(st.lists(st.integers(0, CLASSES - 1), max_size=4), min_size=2, max_size=30),
    st.sampled_from([0.05, 0.2, 0.5, 0.9]),
    st.integers(0, 3),
)
def test_nothing_is_lost_and_a_one_sided_class_is_told(
    classes_of_images: list[list[int]], share: float, seed: int
) -> None:
    whole = dataset(classes_of_images)
    train, validation = split(whole, share, seed)
    assert sorted([*train.image_ids, *validation.image_ids]) == sorted(whole.image_ids)
    assert len(train) >= 1
    assert len(validation) >= 1
    told = {name for finding in train.findings for name in finding.value}
    for name, left, right in zip("abcde", images_by_class(train), images_by_class(validation), strict=True):
        assert (bool(left) and bool(right)) or not (left or right) or name in told


@given(st.lists(st.sets(st.integers(0, CLASSES - 1), max_size=1), min_size=4, max_size=30), st.integers(0, 3))
def test_with_one_class_an_image_every_class_of_two_is_on_both_sides(classes: list[set[int]], seed: int) -> None:
    train, validation = split(dataset([sorted(each) for each in classes]), 0.2, seed)
    for left, right in zip(images_by_class(train), images_by_class(validation), strict=True):
        if len(left) + len(right) >= 2:
            assert left
            assert right


@pytest.mark.parametrize(
    ("classes_of_images", "seed"),
    [
        # Each of the first two has to be apart from its single partner, and class 2 only shows on both of them.
        *((classes, seed) for classes in [[[0, 2], [1, 2], [0], [1]]] for seed in range(8)),
    ],
)
def test_classes_that_pull_at_each_other_are_untangled(classes_of_images: list[list[int]], seed: int) -> None:
    train, validation = split(dataset(classes_of_images), 0.25, seed)
    assert all(
        len(left) == len(right) == 1
        for left, right in zip(images_by_class(train)[:3], images_by_class(validation)[:3], strict=True)
    )
    assert not train.findings


def test_single_images_of_a_class_stay_in_training() -> None:
    whole = dataset([[0]] * 10 + [[1], [2], [3]])
    for seed in range(5):
        train, validation = split(whole, 0.2, seed)
        assert [len(images) for images in images_by_class(train)[1:4]] == [1, 1, 1]
        assert len(validation) == 2
        assert train.findings[0].value == ["b", "c", "d"]
        assert "validation" in train.findings[0].message


@pytest.mark.parametrize(("share", "expected"), [(0.1, 10), (0.2, 20), (0.5, 50), (0.9, 90), (0.001, 1), (0.999, 99)])
def test_share(share: float, expected: int) -> None:
    train, validation = split(dataset([[0]] * 100), share, 0)
    assert (len(train), len(validation)) == (100 - expected, expected)


def test_negatives_are_shared_out_too() -> None:
    _, validation = split(dataset([[0]] * 50 + [[]] * 50), 0.2, 0)
    assert int((validation.boxes_per_image == 0).sum()) == 10


def test_blood_cells_divide_class_by_class(shared: Callable[[str], pathlib.Path]) -> None:
    whole = read_dataset(shared("data/bccd/train"))
    train, validation = split(whole, 0.2, 0)
    assert 39 <= len(validation) <= 43
    for row in range(whole.num_classes):
        boxes = (train.classes == row).sum(), (validation.classes == row).sum()
        assert 0.15 < boxes[1] / sum(boxes) < 0.25


def test_the_same_seed_gives_the_same_split_in_any_order() -> None:
    whole = dataset([[index % CLASSES] for index in range(60)])
    shuffled = whole.select(np.random.default_rng(0).permutation(60))
    first = split(whole, 0.2, 7)[1].image_ids
    assert sorted(split(shuffled, 0.2, 7)[1].image_ids) == sorted(first)
    assert sorted(split(whole, 0.2, 8)[1].image_ids) != sorted(first)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, 1.5])
def test_a_share_that_leaves_a_side_empty_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        split(dataset([[0]] * 4), share, 0)


def test_one_image_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="1 image cannot be divided"):
        split(dataset([[0]]), 0.2, 0)
