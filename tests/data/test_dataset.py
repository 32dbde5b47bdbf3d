"""Columns of a data set, and parts of it."""

from __future__ import annotations

import numpy as np
import pytest

from tfod_transfer.data.dataset import DetectionDataset, Finding


@pytest.fixture
def dataset() -> DetectionDataset:
    counts = [2, 0, 1, 3]
    boxes = np.arange(6, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32) / 10
    return DetectionDataset(
        image_paths=["a", "b", "c", "d"],
        image_ids=[10, 20, 30, 40],
        sizes=np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.int32),
        orientations=np.array([1, 3, 6, 8], np.uint8),
        boxes=boxes,
        classes=np.arange(6, dtype=np.int32) % 3,
        is_crowd=np.array([0, 0, 1, 0, 0, 1], np.bool_),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        class_names=("x", "y", "z"),
        category_ids=(1, 2, 3),
        findings=(Finding("tiny_box", "a.json", "small"),),
    )


def test_counts(dataset: DetectionDataset) -> None:
    assert (len(dataset), dataset.num_boxes, dataset.num_classes) == (4, 6, 3)
    assert dataset.boxes_per_image.tolist() == [2, 0, 1, 3]
    assert [dataset.rows_of(image) for image in range(4)] == [slice(0, 2), slice(2, 2), slice(2, 3), slice(3, 6)]


@pytest.mark.parametrize("images", [[0, 1, 2, 3], [3, 0], [1], [], [2, 2]])
def test_select_takes_each_image_with_its_own_rows(dataset: DetectionDataset, images: list[int]) -> None:
    part = dataset.select(images)
    assert list(part.image_ids) == [dataset.image_ids[image] for image in images]
    assert part.sizes.tolist() == [dataset.sizes[image].tolist() for image in images]
    assert part.orientations.tolist() == [dataset.orientations[image] for image in images]
    for row, image in enumerate(images):
        for column in ("boxes", "classes", "is_crowd"):
            ours, theirs = getattr(part, column)[part.rows_of(row)], getattr(dataset, column)[dataset.rows_of(image)]
            np.testing.assert_array_equal(ours, theirs)
    assert part.offsets[-1] == part.num_boxes == sum(dataset.boxes_per_image[image] for image in images)
    assert (part.class_names, part.findings) == (dataset.class_names, dataset.findings)
