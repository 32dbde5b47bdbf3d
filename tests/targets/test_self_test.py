"""A target held against a SavedModel, on made detections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from tfod_transfer import errors
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.targets import self_test
from tfod_transfer.targets.options import TargetOptions
from tfod_transfer.targets.self_test import ApTest, BoxTest

BOXES = np.array([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]], np.float32)
PATHS = ["a.jpg", "b.jpg"]


class Fake:
    """Finds the same in each image: two boxes, moved to the right, and padding."""

    def __init__(
        self, shift: float = 0.0, classes: Sequence[int] = (0, 1), scores: Sequence[float] = (0.9, 0.8)
    ) -> None:
        boxes = np.concatenate([BOXES + np.array([0, shift, 0, shift], np.float32), np.zeros((3, 4), np.float32)])
        self._found = ImageDetections(
            boxes[np.newaxis],
            np.array([[*classes, 0, 0, 0]], np.int32),
            np.array([[*scores, 0, 0, 0]], np.float32),
        )

    def detect_files(self, paths: Sequence[str]) -> Iterator[ImageDetections]:
        return (self._found for _ in paths)


@pytest.fixture
def dataset() -> DetectionDataset:
    return DetectionDataset(
        image_paths=PATHS,
        image_ids=range(2),
        sizes=np.full((2, 2), 100, np.int32),
        orientations=np.ones(2, np.uint8),
        boxes=np.concatenate([BOXES, BOXES]),
        classes=np.array([0, 1, 0, 1], np.int32),
        is_crowd=np.zeros(4, bool),
        offsets=np.array([0, 2, 4]),
        class_names=("cat", "dog"),
        category_ids=(1, 2),
    )


def test_ap_of_both_and_their_difference(dataset: DetectionDataset) -> None:
    test = self_test.compare_ap(dataset, Fake(), Fake(scores=(0.9, 0.0)))
    assert (test.images, test.savedmodel_ap, test.target_ap) == (2, 1.0, 0.5)
    assert test.difference == -0.5
    assert str(test) == "AP of the SavedModel 1.0000, of the target 0.5000, difference -0.5000, on 2 images"
    assert test.to_dict()["difference"] == -0.5


@pytest.mark.parametrize(
    ("target", "found"),
    [
        pytest.param(Fake(), 4, id="the same"),
        pytest.param(Fake(shift=0.05), 4, id="moved a little"),
        pytest.param(Fake(shift=0.25), 0, id="moved away"),
        pytest.param(Fake(classes=(0, 0)), 2, id="one of another class"),
        pytest.param(Fake(scores=(0.1, 0.0)), 2, id="one that is padding"),
    ],
)
def test_boxes_that_both_find(target: Fake, found: int) -> None:
    test = self_test.compare_boxes(PATHS, Fake(), target)
    assert (test.images, test.boxes, test.found) == (2, 4, found)
    assert test.difference == 1 - found / 4


def test_nothing_found_is_nothing_missing() -> None:
    empty = Fake(scores=(0.0, 0.0))
    assert self_test.compare_boxes(PATHS, empty, empty).difference == 0


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (ApTest(5, 0.5, 0.48), "AP differs by 0.0200, where at most 0.01 is let pass"),
        (ApTest(5, 0.48, 0.5), "AP differs by 0.0200, where at most 0.01 is let pass"),
        (BoxTest(5, 10, 9), "0.1000 of the boxes are missing, where at most 0.01 are let pass"),
    ],
)
def test_too_large_a_difference_is_one_sentence(test: ApTest | BoxTest, message: str) -> None:
    self_test.check(test, TargetOptions("onnx", tolerance=0.11))
    with pytest.raises(errors.ArtifactError, match=f"the onnx model is not kept: {message}") as raised:
        self_test.check(test, TargetOptions("onnx", tolerance=0.01))
    assert "\n" not in str(raised.value)
