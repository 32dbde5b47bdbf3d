"""Old images among new ones: as many as asked for, of all old classes, under the names of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer.data.classes import UNUSED
from tfod_transfer.data.dataset import DetectionDataset, Finding
from tfod_transfer.data.replay import with_replay
from tfod_transfer.errors import DataError, UsageError


def dataset_of(
    name: str, classes: Sequence[Sequence[int]], names: Sequence[str], ids: Sequence[int | str] | None = None
) -> DetectionDataset:
    """Images with a box of each class listed; a box tells its image by its corner."""
    flat = np.array([each for image in classes for each in image], np.int32)
    image_of_box = np.repeat(np.arange(len(classes)), [len(image) for image in classes])
    corners = (image_of_box + 1) / 1000
    return DetectionDataset(
        image_paths=[f"{name}/{i}.jpg" for i in range(len(classes))],
        image_ids=list(range(len(classes))),
        sizes=np.stack([np.arange(len(classes)) + 100, np.full(len(classes), 50)], axis=1).astype(np.int32),
        orientations=np.full(len(classes), 3 if name == "old" else 1, np.uint8),
        boxes=np.stack([corners, corners, corners + 0.1, corners + 0.1], axis=1).astype(np.float32).reshape(-1, 4),
        classes=flat,
        is_crowd=np.arange(len(flat)) == 1,
        offsets=np.concatenate([[0], np.cumsum([len(image) for image in classes])]).astype(np.int64),
        class_names=tuple(names),
        category_ids=tuple(range(1, len(names) + 1)) if ids is None else tuple(ids),
        findings=(Finding("zero_area_box", f"{name}.json", "a box without area"),),
        description=name,
    )


def names_of(dataset: DetectionDataset, image: int) -> list[str]:
    return [dataset.class_names[row] for row in dataset.classes[dataset.rows_of(image)]]


NEW = dataset_of("new", [[0], [1, 0], [], [1], [0], [1], [0], [0]], ["cat", "dog"])


@pytest.mark.parametrize(
    ("names", "ids", "joined", "joined_ids"),
    [
        pytest.param(["cat", "dog"], [1, 2], ["cat", "dog"], [1, 2], id="the same"),
        pytest.param(["dog", "cat"], [1, 2], ["cat", "dog"], [1, 2], id="by name, whatever the id"),
        pytest.param(["cow", "dog"], [8, 9], ["cat", "dog", "cow"], [1, 2, 8], id="one more"),
        pytest.param(["cow", "dog"], [1, 9], ["cat", "dog", "cow"], [1, 2, 10], id="one more, whose id is taken"),
        pytest.param(["cow", "ox"], [2, 3], ["cat", "dog", "cow", "ox"], [1, 2, 4, 3], id="the next free id"),
        pytest.param(["cow", "ox"], ["1", "b"], ["cat", "dog", "cow", "ox"], [1, 2, "1", "b"], id="ids are texts"),
        pytest.param(["1", "2"], [1, 2], ["cat", "dog"], [1, 2], id="by id, without names"),
        pytest.param([UNUSED, "cow"], [3, 4], ["cat", "dog", "cow"], [1, 2, 4], id="a slot without a class"),
    ],
)  # fmt: skip
def test_classes_are_joined_by_name(
    names: list[str], ids: list[int | str], joined: list[str], joined_ids: list[int | str]
) -> None:
    old = dataset_of("old", [[1], [1, 1], [1]] if names[0] == UNUSED else [[0], [1, 0], [1]], names, ids)
    result = with_replay(NEW, old, 0.25, 0)
    assert (list(result.class_names), list(result.category_ids)) == (joined, joined_ids)
    renamed = {"1": "cat", "2": "dog"} if names == ["1", "2"] else {}
    for image in range(len(NEW), len(result)):
        number = int(result.image_paths[image].split("/")[1].split(".")[0])
        assert names_of(result, image) == [renamed.get(name, name) for name in names_of(old, number)]


def test_all_columns_are_joined() -> None:
    old = dataset_of("old", [[0], [2, 1], [], [1, 1]], ["cow", "dog", "cat"])
    result = with_replay(NEW, old, 0.5, 0)  # all that there are
    assert list(result.image_paths) == [*NEW.image_paths, *old.image_paths]
    assert list(result.image_ids) == [*range(8), "replay 0", "replay 1", "replay 2", "replay 3"]
    np.testing.assert_array_equal(result.sizes, np.concatenate([NEW.sizes, old.sizes]))
    assert result.orientations.tolist() == [1] * 8 + [3] * 4
    assert result.is_crowd.tolist() == NEW.is_crowd.tolist() + old.is_crowd.tolist()
    np.testing.assert_array_equal(result.boxes, np.concatenate([NEW.boxes, old.boxes]))
    assert [names_of(result, image) for image in range(8, 12)] == [["cow"], ["cat", "dog"], [], ["dog", "dog"]]
    assert [finding.file for finding in result.findings] == ["new.json", "old.json"]
    assert result.description == "new; replayed: 4 of 4 images of old"
    for name in ("sizes", "orientations", "boxes", "classes", "is_crowd", "offsets"):
        assert getattr(result, name).dtype == getattr(NEW, name).dtype


def test_image_ids_stay_where_they_are_free() -> None:
    old = dataset_of("old", [[0]] * 20, ["cat"])
    ids = with_replay(NEW, old, 0.7, 0).image_ids
    assert len(set(ids)) == len(ids) == 8 + 19
    assert [*ids[:8]] == [*range(8)]
    assert all(isinstance(key, str) or key >= 8 for key in ids[8:])
    assert sum(isinstance(key, str) for key in ids) in (7, 8)


@given(
    images=st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=120),
    share=st.floats(0, 0.95),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=100, deadline=None)
def test_the_sample_has_the_share_and_every_old_class_in_its_proportion(
    images: list[list[int]], share: float, seed: int
) -> None:
    old = dataset_of("old", images, [*"ABCDE"])
    old = dataclasses.replace(old, is_crowd=np.zeros(old.num_boxes, np.bool_))
    result = with_replay(NEW, old, share, seed)
    count = len(result) - len(NEW)
    assert count == min(round(share / (1 - share) * len(NEW)), len(old))
    sample = result.select(np.arange(len(NEW), len(result)))
    assert len(set(sample.image_paths)) == count
    for name in "ABCDE":
        there = sum(name in names_of(old, image) for image in range(len(old)))
        taken = sum(name in names_of(sample, image) for image in range(count))
        if there and count >= 6:  # five classes, and images without
            assert taken >= 1
    assert with_replay(NEW, old, share, seed).image_paths == result.image_paths


def test_proportions_stay() -> None:
    generator = np.random.default_rng(0)
    images = [[int(generator.choice(4, p=[0.6, 0.25, 0.1, 0.05]))] for _ in range(800)] + [[]] * 200
    old = dataset_of("old", images, [*"ABCD"])
    many = dataset_of("new", [[0]] * 300, ["A"])
    result = with_replay(many, old, 0.25, 7)
    sample = result.select(np.arange(300, len(result)))
    assert len(sample) == 100
    actual = np.bincount(sample.classes, minlength=4)
    expected = np.bincount(old.classes, minlength=4) / 10
    np.testing.assert_allclose([*actual, 100 - actual.sum()], [*expected, 20], atol=1)


def paths(dataset: DetectionDataset) -> list[str]:
    return [*dataset.image_paths]


def test_the_sample_follows_from_the_seed_and_not_from_the_order() -> None:
    old = dataset_of("old", [[i % 3] for i in range(60)], [*"ABC"])
    turned = old.select(np.arange(60)[::-1])
    first = paths(with_replay(NEW, old, 0.5, 1))
    assert sorted(first) == sorted(paths(with_replay(NEW, turned, 0.5, 1)))
    assert sorted(first) != sorted(paths(with_replay(NEW, old, 0.5, 2)))


@pytest.mark.parametrize("share", [-0.1, 1.0, 7.0])
def test_a_share_out_of_range(share: float) -> None:
    with pytest.raises(UsageError, match="expected a share"):
        with_replay(NEW, NEW, share, 0)


def test_two_old_classes_for_one_new_one() -> None:
    old = dataset_of("old", [[0], [1]], ["cat", "1"], [7, 1])
    with pytest.raises(DataError, match=r"\['cat', '1'\].*'cat'"):
        with_replay(NEW, old, 0.5, 0)
