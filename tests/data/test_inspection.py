"""What `inspect` counts and measures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import pytest

from tfod_transfer.data import inspection, inspection_text
from tfod_transfer.data.dataset import DetectionDataset, Finding
from tfod_transfer.modeling.anchor_fit import AnchorAdvice, AnchorFit


def dataset(
    folder: pathlib.Path, boxes: Sequence[Sequence[tuple[int, tuple[float, ...]]]], sizes: Sequence[tuple[int, int]]
) -> DetectionDataset:
    """For each image its (class, [ymin, xmin, ymax, xmax]) and its (height, width); every file has its own bytes."""
    paths = [folder / f"{index}.jpg" for index in range(len(boxes))]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index]) * 10)
    flat = [each for image in boxes for each in image]
    return DetectionDataset(
        image_paths=[str(path) for path in paths],
        image_ids=list(range(len(boxes))),
        sizes=np.array(sizes, np.int32).reshape(-1, 2),
        orientations=np.ones(len(boxes), np.uint8),
        boxes=np.array([box for _, box in flat], np.float32).reshape(-1, 4),
        classes=np.array([row for row, _ in flat], np.int32),
        is_crowd=np.zeros(len(flat), np.bool_),
        offsets=np.concatenate([[0], np.cumsum([len(image) for image in boxes])]).astype(np.int64),
        class_names=("cat", "dog"),
        category_ids=(1, 5),
        description="d.json: all well",
    )


HALF, QUARTER = (0.0, 0.0, 0.5, 0.5), (0.25, 0.25, 0.5, 0.5)


@pytest.fixture
def three(tmp_path: pathlib.Path) -> DetectionDataset:
    boxes = [[(0, HALF), (0, QUARTER), (0, HALF)], [], [(0, HALF), (1, HALF)]]
    return dataset(tmp_path, boxes, [(100, 100), (100, 100), (200, 400)])


def test_counts(three: DetectionDataset) -> None:
    found = inspection.measure(three)
    assert (found.images, found.negatives, found.boxes, found.crowds) == (3, 1, 5, 0)
    assert [(each.name, each.category_id, each.boxes, each.images) for each in found.classes] == [
        ("cat", 1, 4, 2),
        ("dog", 5, 1, 1),
    ]
    assert found.image_sizes == {"100 x 100": 2, "400 x 200": 1}
    assert found.sides_px[1] == 50  # sides 25, 50, 50, 141, 141
    assert found.same_boxes == 1
    assert found.same_images == []


def test_files_with_the_same_bytes_are_found(three: DetectionDataset) -> None:
    pathlib.Path(three.image_paths[2]).write_bytes(pathlib.Path(three.image_paths[0]).read_bytes())
    assert inspection.measure(three).same_images == [[three.image_paths[0], three.image_paths[2]]]


def test_images_in_training_and_validation_are_found(tmp_path: pathlib.Path) -> None:
    names = {"a": b"1", "b": b"2", "c": b"1", "d": b"3", "e": b"3"}
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
    a, b, c, d, e = (str(tmp_path / name) for name in names)
    assert inspection.in_both([a, b], [c]) == [[a, c]]
    assert inspection.in_both([a, b], [b]) == [[b, b]]
    assert inspection.in_both([a, b], [d, e]) == []


def test_rare_classes_are_looked_at_first(tmp_path: pathlib.Path) -> None:
    boxes = [[(0, HALF)] for _ in range(20)]
    boxes[13] = [(1, HALF)]
    many = dataset(tmp_path, boxes, [(100, 100)] * 20)
    assert inspection.choose_images(many, 1) == [13]
    assert inspection.choose_images(many, 2) == [13, 0]
    assert sorted(inspection.choose_images(many, 50)) == list(range(20))
    assert inspection.choose_images(many, 8) == inspection.choose_images(many, 8)


def test_lines_say_everything(three: DetectionDataset) -> None:
    findings = [Finding("tiny_box", "d.json", f"small {index}", index, [0.0] * 4) for index in range(12)]
    fit = AnchorFit(
        *("the-model", 320, (10.0, 50.0, 90.0), 5, 0.71, 0.2),
        unmatched_by_class={"cat": 0.0, "dog": 1.0},
        advice=AnchorAdvice(2.8, 4.0, {"cat": 0.0, "dog": 0.2}),
    )
    text = "\n".join(inspection_text.lines("training", inspection.measure(three, fit), findings))
    for expected in (
        "d.json: all well",
        "3, 1 of them without a box; sizes 100 x 100 (2), 400 x 200 (1)",
        "at the 320 px input of the-model the sides are 10 / 50 / 90 px",
        "20.0% of 5 boxes",
        "50% of a class's boxes overlap no anchor by half, 100% of those of 'dog': too small for anchors of scale 4; "
        "--anchor_scale 2.8 would leave 10%",
        "cat        4 boxes in      2 images  " + "#" * 40,
        "dog        1 boxes in      1 images  " + "#" * 10,
        "small 9",
        "and 2 more",
        "1 boxes drawn twice",
    ):
        assert expected in text
    assert "small 10" not in text
