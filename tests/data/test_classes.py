"""Data to measure on takes the classes of a model, by name or by id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tfod_transfer.data.classes import UNUSED, align_classes, with_all_classes
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.errors import DataError


def dataset(names: Sequence[str], category_ids: Sequence[int | str]) -> DetectionDataset:
    """One image with one box of each class."""
    count = len(names)
    return DetectionDataset(
        image_paths=["a.jpg"],
        image_ids=[1],
        sizes=np.array([[480, 640]], np.int32),
        orientations=np.ones(1, np.uint8),
        boxes=np.tile(np.array([[0.1, 0.1, 0.5, 0.5]], np.float32), (count, 1)),
        classes=np.arange(count, dtype=np.int32),
        is_crowd=np.zeros(count, np.bool_),
        offsets=np.array([0, count], np.int64),
        class_names=tuple(names),
        category_ids=tuple(category_ids),
    )


@pytest.mark.parametrize(
    ("names", "ids", "model_names", "model_ids", "classes"),
    [
        pytest.param(["cat", "dog"], [1, 2], ["cat", "dog"], [1, 2], [0, 1], id="the same"),
        pytest.param(["dog"], [2], ["cat", "dog"], [1, 2], [1], id="fewer"),
        pytest.param(["cat", "dog"], [1, 2], ["dog", "cat"], [7, 8], [1, 0], id="by name, other ids"),
        pytest.param(["1", "2"], [1, 2], ["cat", "dog", "cow"], [2, 1, 3], [1, 0], id="data without names"),
        pytest.param(["cat", "dog"], [1, 2], ["1", "2"], [1, 2], [0, 1], id="model without names"),
        pytest.param(["1"], ["1"], ["cat"], [1], [0], id="text for a number"),
        pytest.param(["dog"], [3], ["cat", None, "dog"], [1, 2, 3], [2], id="a hole in the label map"),
        pytest.param([], [], ["cat"], [1], [], id="no boxes"),
    ],
)
def test_classes_are_found(
    names: list[str], ids: list[int | str], model_names: list[str | None], model_ids: list[int], classes: list[int]
) -> None:
    aligned = align_classes(dataset(names, ids), model_names, model_ids)
    assert aligned.classes.tolist() == classes
    assert aligned.classes.dtype == np.int32
    assert aligned.class_names == tuple(UNUSED if name is None else name for name in model_names)
    assert aligned.category_ids == tuple(model_ids)


@pytest.mark.parametrize(
    ("names", "ids", "model_names", "model_ids", "message"),
    [
        pytest.param(["cat", "zebra"], [1, 2], ["cat"], [1], "1 boxes of class 'zebra' .category id 2.", id="unknown"),
        pytest.param(["dog"], [1], ["cat"], [1], "'dog'", id="one id, two names"),
        pytest.param(["plateletts"], [5], ["RBC", "platelets"], [1, 2], "Did you mean 'platelets'", id="misspelt"),
        pytest.param(["2"], [2], ["cat", None], [1, 2], "'2'", id="the id of a hole"),
        pytest.param(["cat", "7"], [1, 7], ["cat"], [7], r"\['cat', '7'\].*'cat'", id="two for one"),
    ],
)
def test_a_class_that_the_model_lacks_is_named(
    names: list[str], ids: list[int | str], model_names: list[str | None], model_ids: list[int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        align_classes(dataset(names, ids), model_names, model_ids)


@pytest.mark.parametrize(
    ("ids", "num_classes", "expected"),
    [
        pytest.param((0, 2), 4, ((0, 1, 2, 3), [0, 2]), id="some of them shown"),
        pytest.param((0, 1), 2, ((0, 1), [0, 1]), id="all of them shown"),
        pytest.param((1, 4), 4, ((1, 4), [0, 1]), id="ids that are no numbers from 0 on"),
        pytest.param(("a", "b"), 4, (("a", "b"), [0, 1]), id="names for ids"),
    ],
)
def test_classes_that_no_image_shows(ids: tuple, num_classes: int, expected: tuple) -> None:
    found = with_all_classes(dataset([f"name of {key}" for key in ids], ids), num_classes)
    assert (found.category_ids, found.classes.tolist()) == expected
    named = dict(zip(found.category_ids, found.class_names, strict=True))
    assert all(named[key] == f"name of {key}" for key in ids)


def test_more_classes_than_were_said_are_named() -> None:
    with pytest.raises(DataError, match="num_classes is 1, and the data has 2 classes: cat, dog"):
        with_all_classes(dataset(["cat", "dog"], [0, 1]), 1)
