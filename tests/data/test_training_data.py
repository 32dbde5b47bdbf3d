"""The two data sets of a run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from records_on_disk import box, image

from tfod_transfer import errors, hyperparameters
from tfod_transfer.data import training_data
from tfod_transfer.demo import shapes

Write = Callable[..., pathlib.Path]
IMAGES = [image(index) for index in range(10)]
BOXES = [box(index, category_id=1 + index % 2) for index in range(10)]


def test_a_split_holds_every_image_once_and_every_finding_once(write: Write) -> None:
    folder = write(IMAGES, [*BOXES, box(0, bbox=(5, 5, 5, 5))])
    data = training_data.read(str(folder), None, hyperparameters.resolve({"validation_split": 0.4}))
    assert sorted(data.split["training"] + data.split["validation"]) == list(range(10))
    assert len(data.validation) == 4
    assert [(finding["reason"], finding["value"]) for finding in data.findings] == [("zero_area_box", [5, 5, 5, 5])]
    assert "findings:   1 zero area box dropped" in "\n".join(data.describe())


def test_the_split_is_a_function_of_the_seed(write: Write) -> None:
    folder = str(write(IMAGES, BOXES))

    def held_out(seed: int) -> list[object]:
        return training_data.read(folder, None, hyperparameters.resolve({"seed": seed})).split["validation"]

    assert held_out(1) == held_out(1)
    assert len({tuple(held_out(seed)) for seed in range(5)}) > 1


def test_validation_data_takes_the_classes_of_the_training_data(write: Write) -> None:
    names = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    folder = str(write(IMAGES, BOXES, names))
    data = training_data.read(folder, folder, hyperparameters.resolve({}))
    assert data.validation.class_names == data.train.class_names == ("cat", "dog")
    assert data.split["how"] == f"given as {folder}"


@pytest.mark.parametrize(
    ("annotations", "given", "message"),
    [
        ([], {}, "nothing to learn"),
        (BOXES, {"validation_split": 0}, "nothing to measure on"),
    ],
    ids=["no boxes", "no validation"],
)
def test_data_that_is_of_no_use(write: Write, annotations: list, given: dict[str, object], message: str) -> None:
    folder = str(write(IMAGES, annotations))
    with pytest.raises(errors.DataError, match=message):
        training_data.read(folder, None, hyperparameters.resolve(given))


def test_replayed_images_bring_their_classes(tmp_path: pathlib.Path) -> None:
    shapes.generate(tmp_path / "new", ("cross", "star"), 12, seed=1)
    shapes.generate(tmp_path / "old", ("circle", "star"), 12, seed=2)
    settings = hyperparameters.resolve({"replay_share": 0.4, "validation_split": 0.25})
    data = training_data.read(str(tmp_path / "new"), None, settings, str(tmp_path / "old"))
    assert data.train.class_names == ("cross", "star", "circle")
    images = len(data.train) + len(data.validation)
    assert images == 20  # 12 new ones are 60 %
    assert "replayed: 8 of 12 images" in data.describe()[0]


def test_annotations_may_lie_in_a_place_of_their_own(write: Write) -> None:
    folder = write(IMAGES, BOXES)
    (folder / "elsewhere").mkdir()
    file = (folder / "annotations.json").rename(folder / "elsewhere" / "boxes.json")
    place = {"training_annotations": str(file), "validation_annotations": str(file)}
    images = str(folder / "images")
    data = training_data.read(images, images, hyperparameters.resolve({}), **place)
    assert len(data.train) == len(data.validation) == 10
