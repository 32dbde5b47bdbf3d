"""Batches: what is in them, where their images come from, and what is said when one is bad."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import pytest
import seven_images
import tensorflow as tf
from PIL import Image
from seven_images import NUM_IMAGES, PADDED, SIZE, SPEC, assert_same, exact_image, pipeline_of, taken

from tfod_transfer import errors, registry
from tfod_transfer.data import resize
from tfod_transfer.data.dataset import DetectionDataset

both_resizers = pytest.mark.parametrize("spec", [SPEC, PADDED], ids=["fixed", "keep_aspect_ratio"])
every_augmentation = pytest.mark.parametrize("augmentation", ["none", "zoo", "strong"])


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> DetectionDataset:
    return seven_images.write(tmp_path)


@both_resizers
@pytest.mark.parametrize("turned", [False, True], ids=["upright", "turned"])
@every_augmentation
def test_training_batches(dataset: DetectionDataset, spec: registry.ModelSpec, augmentation: str, turned: bool) -> None:
    if turned and augmentation == "none":
        with pytest.raises(errors.UsageError, match="choose zoo or strong"):
            pipeline_of(dataset, spec, augmentation=augmentation, random_rotation90=True)
        return
    pipeline = pipeline_of(dataset, spec, augmentation=augmentation, random_rotation90=turned)
    batches = pipeline.train_batches()
    assert all(each.shape.is_fully_defined() for each in batches.element_spec.values())
    most = 16 if augmentation == "strong" else 8
    for batch in taken(batches, 3 * pipeline.steps_per_epoch):
        assert {name: (value.shape, value.dtype) for name, value in batch.items()} == {
            "images": ((3, SIZE, SIZE, 3), np.uint8),
            "boxes": ((3, most, 4), np.float32),
            "classes": ((3, most), np.int32),
            "image_ids": ((3,), np.int64),
            "original_sizes": ((3, 2), np.int32),
        }
        np.testing.assert_array_equal(batch["original_sizes"], dataset.sizes[batch["image_ids"]])
        boxes, is_box = batch["boxes"], batch["classes"] >= 0
        assert ((boxes >= 0) & (boxes <= 1)).all()
        assert (boxes[is_box][:, 2:] > boxes[is_box][:, :2]).all()
        assert not boxes[~is_box].any()


@pytest.mark.parametrize(
    ("spec", "shape", "expected"),
    [(SPEC, (40, 80), False), (SPEC, (60, 60), True), (PADDED, (40, 80), True)],
    ids=["stretched", "square", "in proportion"],
)
def test_a_photograph_is_turned_sideways_only_where_that_keeps_its_proportions(
    tmp_path: pathlib.Path, spec: registry.ModelSpec, shape: tuple[int, int], expected: bool
) -> None:
    dataset = seven_images.write(tmp_path).select([0])
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[:: shape[0] // 8] = 255  # lines from left to right
    Image.fromarray(pixels).save(tmp_path / "lines.png")
    paths, sizes = [str(tmp_path / "lines.png")], np.array([shape], np.int32)
    dataset = dataclasses.replace(dataset, image_paths=paths, sizes=sizes)
    pipeline = pipeline_of(dataset, spec, batch_size=1, random_rotation90=True)
    is_sideways = []
    for batch in taken(pipeline.train_batches(), 24):
        middle = batch["images"][0, 4:12, 4:12].astype(float)
        is_sideways.append(np.abs(np.diff(middle, axis=1)).sum() > np.abs(np.diff(middle, axis=0)).sum())
    assert any(is_sideways) == expected
    assert not all(is_sideways)


@both_resizers
def test_a_step_is_traced_once_for_all_batches(dataset: DetectionDataset, spec: registry.ModelSpec) -> None:
    pipeline = pipeline_of(dataset, spec)
    traces = 0

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        nonlocal traces
        traces += 1
        return tf.reduce_sum(batch["boxes"])

    for batches in (pipeline.train_batches(), pipeline.train_batches(5), pipeline.eval_batches(exact=False)):
        assert all(each.shape.is_fully_defined() for each in batches.element_spec.values())
        for batch in batches.take(3 * pipeline.steps_per_epoch):
            step(batch)
    assert traces == 1


@pytest.mark.parametrize(
    ("most", "expected"), [(0, 8), (1, 8), (8, 8), (9, 16), (130, 136)], ids=lambda n: f"{n} boxes"
)
def test_there_is_room_for_all_boxes(dataset: DetectionDataset, most: int, expected: int) -> None:
    assert pipeline_of(with_boxes(dataset, most)).max_boxes == expected


@pytest.mark.parametrize("most", [0, 9], ids=lambda n: f"{n} boxes")
def test_no_box_is_left_out(dataset: DetectionDataset, most: int) -> None:
    pipeline = pipeline_of(with_boxes(dataset, most))
    for batches in (pipeline.train_batches(), pipeline.eval_batches()):
        (batch,) = taken(batches, 1)
        assert batch["boxes"].shape[1] == pipeline.max_boxes
        assert (batch["classes"][0] == 0).sum() == most


def with_boxes(dataset: DetectionDataset, count: int) -> DetectionDataset:
    """One image with so many boxes."""
    return dataclasses.replace(
        dataset.select([0]),
        boxes=np.tile(np.float32([0.1, 0.1, 0.9, 0.9]), (count, 1)),
        classes=np.zeros(count, np.int32),
        is_crowd=np.zeros(count, np.bool_),
        offsets=np.array([0, count]),
    )


def test_crowd_boxes_are_left_out(dataset: DetectionDataset) -> None:
    classes = np.concatenate([batch["classes"] for batch in taken(pipeline_of(dataset).eval_batches(), 3)])
    assert [sorted(row[row >= 0]) for row in classes[:NUM_IMAGES]] == [
        [],
        [0],
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4, 5],
    ]


def test_each_epoch_has_every_image_and_is_filled_up_from_its_start(dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(dataset)
    assert pipeline.steps_per_epoch == 3
    batches = taken(pipeline.train_batches(), 12)
    orders = []
    for epoch in range(4):
        rows = np.concatenate([batch["image_ids"] for batch in batches[3 * epoch : 3 * epoch + 3]])
        assert sorted(rows[:NUM_IMAGES]) == list(range(NUM_IMAGES))
        assert rows[NUM_IMAGES:].tolist() == rows[:2].tolist()
        orders.append(tuple(rows))
    assert len(set(orders)) == 4


def test_nothing_waits_for_the_tuner_of_tf_data(dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(dataset)
    for batches in (pipeline.train_batches(), pipeline.eval_batches()):
        assert batches.options().autotune.enabled is False


def test_a_batch_may_be_larger_than_the_data_set(dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(dataset, batch_size=16)
    (batch,) = taken(pipeline.train_batches(), 1)
    assert pipeline.steps_per_epoch == 1
    assert sorted(np.bincount(batch["image_ids"])) == [2, 2, 2, 2, 2, 3, 3]


def test_skipped_images_are_not_read(dataset: DetectionDataset) -> None:
    whole = pipeline_of(dataset, cache="none")
    expected = taken(whole.train_batches(2), 1)
    for row in set(range(NUM_IMAGES)) - set(whole.image_indices_of(2)):
        pathlib.Path(dataset.image_paths[row]).unlink()
    assert_same(taken(pipeline_of(dataset, cache="none").train_batches(2), 1), expected)


@both_resizers
def test_without_augmentation_training_sees_the_images_of_evaluation(
    dataset: DetectionDataset, spec: registry.ModelSpec
) -> None:
    pipeline = pipeline_of(dataset, spec, augmentation="none", batch_size=1)
    evaluated = taken(pipeline.eval_batches(exact=False), NUM_IMAGES)
    for batch in taken(pipeline.train_batches(), NUM_IMAGES):
        assert_same([batch], [evaluated[batch["image_ids"][0]]])


@both_resizers
@pytest.mark.parametrize("exact", [True, False])
def test_evaluation_gives_every_image_once_in_order(
    dataset: DetectionDataset, spec: registry.ModelSpec, exact: bool
) -> None:
    pipeline = pipeline_of(dataset, spec)
    batches = list(pipeline.eval_batches(exact=exact).as_numpy_iterator())
    assert pipeline.eval_batches(exact=exact).cardinality() == len(batches) == 3
    joined = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert joined["image_ids"].tolist() == [*range(NUM_IMAGES), -1, -1]
    assert joined["images"].dtype == (np.float32 if exact else np.uint8)
    for row in range(NUM_IMAGES):
        expected = exact_image(dataset, row, spec)
        np.testing.assert_array_equal(joined["images"][row], expected if exact else np.round(expected))
        kept = ~dataset.is_crowd[dataset.rows_of(row)]
        boxes = resize.into_square(dataset.boxes[dataset.rows_of(row)][kept], tf.constant(dataset.sizes[row]), spec)
        np.testing.assert_array_equal(joined["boxes"][row, : len(boxes)], boxes)
        assert (joined["classes"][row, len(boxes) :] == -1).all()
    np.testing.assert_array_equal(joined["original_sizes"][:NUM_IMAGES], dataset.sizes)
    assert not joined["images"][NUM_IMAGES:].any()
    assert (joined["classes"][NUM_IMAGES:] == -1).all()
    assert_same(pipeline.eval_batches(exact=exact).as_numpy_iterator(), batches)  # now from the cache


def test_the_cache_is_used(dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(dataset)
    assert pipeline.cache_descriptions == []
    first = taken(pipeline.train_batches(), 3)
    for path in dataset.image_paths:
        pathlib.Path(path).unlink()
    assert_same(taken(pipeline.train_batches(), 3), first)
    (description,) = pipeline.cache_descriptions
    assert "7 decoded images of 32 x 32 pixels" in description


def test_a_photograph_that_changed_is_not_taken_from_the_disk(
    dataset: DetectionDataset, tmp_path: pathlib.Path
) -> None:
    def images() -> np.ndarray:
        pipeline = pipeline_of(dataset, cache="disk", cache_dir=str(tmp_path / "cache"))
        return taken(pipeline.eval_batches(exact=False), 1)[0]["images"]

    path = pathlib.Path(dataset.image_paths[1])
    pixels = np.asarray(Image.open(path))
    Image.fromarray(pixels).save(path, "BMP")
    stat = path.stat()
    before = images()
    Image.fromarray(255 - pixels).save(path, "BMP")
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    after = images()
    assert [(before[row] == after[row]).all() for row in range(3)] == [True, False, True]


def test_images_of_another_resizer_are_not_taken_from_the_disk(
    dataset: DetectionDataset, tmp_path: pathlib.Path
) -> None:
    for spec in (SPEC, PADDED, SPEC):
        pipeline = pipeline_of(dataset, spec, cache="disk", cache_dir=str(tmp_path / "cache"))
        images = taken(pipeline.eval_batches(), 1)[0]["images"]
        np.testing.assert_array_equal(images, [exact_image(dataset, row, spec) for row in range(3)])


JPEG, PNG = 0, 3


@pytest.mark.parametrize(
    ("row", "content", "cause", "cache"),
    [
        pytest.param(JPEG, None, "No such file", "memory", id="missing"),
        pytest.param(PNG, None, "No such file", "none", id="missing, no cache"),
        pytest.param(PNG, b"", "empty", "memory", id="empty"),
        pytest.param(JPEG, b"<html>", "Unknown image file format", "none", id="no image"),
        pytest.param(JPEG, 200, "Invalid JPEG", "memory", id="cut JPEG"),
        pytest.param(PNG, 200, "Invalid PNG", "none", id="cut PNG"),
    ],
)
def test_a_bad_image_is_named(
    dataset: DetectionDataset, row: int, content: bytes | int | None, cause: str, cache: str
) -> None:
    path = pathlib.Path(dataset.image_paths[row])
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else whole[:content])
    pipeline = pipeline_of(dataset, cache=cache)
    for batches in (pipeline.train_batches(), pipeline.eval_batches()):
        with pytest.raises(errors.DataError, match=cause) as caught, pipeline.naming_files():
            taken(batches, 3)
        assert str(caught.value).startswith(f"{path}: expected an image that decodes; ")
        assert "\n" not in str(caught.value)
        assert "{{" not in str(caught.value)
        assert "[Op:" not in str(caught.value)


def test_a_cache_folder_that_cannot_be_written_is_named(dataset: DetectionDataset, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "cache"
    pipeline = pipeline_of(dataset, cache="disk", cache_dir=str(folder))
    batches = pipeline.train_batches()
    folder.rmdir()
    folder.touch()
    with (
        pytest.raises(errors.UsageError, match=rf"cache_dir: {folder}.*choose another folder"),
        pipeline.naming_files(),
    ):
        taken(batches, 3)


def test_other_errors_are_left_as_they_are(dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(dataset)
    taken(pipeline.train_batches(), 3)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="out of memory"), pipeline.naming_files():
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")


def test_a_data_set_without_images_is_refused(dataset: DetectionDataset) -> None:
    with pytest.raises(errors.DataError, match="no images"):
        pipeline_of(dataset.select([]))
