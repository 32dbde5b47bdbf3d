from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tfod_transfer import errors, hyperparameters, registry
from tfod_transfer.data import resize
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.pipeline import InputPipeline, evaluation_rows

SIZE = 32
NUM_IMAGES = 7
SPEC = dataclasses.replace(
    registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"), input_size=SIZE
)
PADDED = dataclasses.replace(
    registry.load_registry().get("tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8"), input_size=SIZE
)
both_resizers = pytest.mark.parametrize("spec", [SPEC, PADDED], ids=["fixed", "keep_aspect_ratio"])
every_augmentation = pytest.mark.parametrize("augmentation", ["none", "zoo", "strong"])


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> DetectionDataset:
    """Seven images of different sizes; image i has i boxes, the last of image 5 a crowd; image 3 is stored turned."""
    generator = np.random.default_rng(0)
    paths, sizes, boxes, classes = [], [], [], []
    for i in range(NUM_IMAGES):
        height, width = 40 + 7 * i, 90 - 5 * i
        path = tmp_path / f"{i}.{'png' if i % 2 else 'jpg'}"
        stored = (width, height) if i == 3 else (height, width)
        Image.fromarray(generator.integers(0, 256, (*stored, 3), np.uint8)).save(path)
        paths.append(str(path))
        sizes.append((height, width))
        corners = np.sort(generator.uniform(0, 1, (i, 2, 2)), axis=1)
        boxes.append(corners.reshape(-1, 4))
        classes.append(np.arange(i))
    offsets = np.concatenate([[0], np.cumsum([len(b) for b in boxes])]).astype(np.int64)
    is_crowd = np.zeros(offsets[-1], np.bool_)
    is_crowd[offsets[6] - 1] = True
    return DetectionDataset(
        image_paths=paths,
        image_ids=list(range(NUM_IMAGES)),
        sizes=np.array(sizes, np.int32),
        orientations=np.array([6 if i == 3 else 1 for i in range(NUM_IMAGES)], np.uint8),
        boxes=np.concatenate(boxes).astype(np.float32),
        classes=np.concatenate(classes).astype(np.int32),
        is_crowd=is_crowd,
        offsets=offsets,
        class_names=tuple("abcdef"),
        category_ids=tuple(range(6)),
    )


def pipeline_of(dataset: DetectionDataset, spec: registry.ModelSpec = SPEC, **settings: Any) -> InputPipeline:
    given = {"batch_size": 3, "seed": 5, "cache": "memory", **settings}
    return InputPipeline(dataset, spec, hyperparameters.resolve(given))


def taken(batches: tf.data.Dataset, count: int) -> list[dict[str, Any]]:
    return list(batches.take(count).as_numpy_iterator())


def assert_same(actual: Iterable[dict[str, Any]], expected: Iterable[dict[str, Any]]) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def exact_image(dataset: DetectionDataset, row: int, spec: registry.ModelSpec) -> np.ndarray:
    pixels = tf.io.decode_image(tf.io.read_file(dataset.image_paths[row]), channels=3)
    pixels = tf.image.rot90(pixels, 3) if dataset.orientations[row] == 6 else pixels  # 6: turn clockwise
    return resize.resize(pixels, spec).numpy()


@both_resizers
@every_augmentation
def test_a_training_batch(dataset: DetectionDataset, spec: registry.ModelSpec, augmentation: str) -> None:
    (batch,) = taken(pipeline_of(dataset, spec, augmentation=augmentation).train_batches(), 1)
    most = 16 if augmentation == "strong" else 8
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


@both_resizers
@every_augmentation
def test_every_shape_is_known_so_that_a_step_is_traced_once(
    dataset: DetectionDataset, spec: registry.ModelSpec, augmentation: str
) -> None:
    pipeline = pipeline_of(dataset, spec, augmentation=augmentation)
    traces = 0

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        nonlocal traces
        traces += 1
        return tf.reduce_sum(batch["boxes"])

    for batches in (pipeline.train_batches(), pipeline.train_batches(5), pipeline.eval_batches(exact=False)):
        assert all(spec.shape.is_fully_defined() for spec in batches.element_spec.values())
        for batch in batches.take(3 * pipeline.steps_per_epoch):
            step(batch)
    assert traces == 1


@pytest.mark.parametrize(
    ("most", "expected"), [(0, 8), (1, 8), (8, 8), (9, 16), (130, 136)], ids=lambda n: f"{n} boxes"
)
def test_no_box_is_left_out(dataset: DetectionDataset, most: int, expected: int) -> None:
    boxes = np.tile(np.float32([0.1, 0.1, 0.9, 0.9]), (most, 1))
    dataset = dataclasses.replace(
        dataset.select([0]),
        boxes=boxes,
        classes=np.zeros(most, np.int32),
        is_crowd=np.zeros(most, np.bool_),
        offsets=np.array([0, most]),
    )
    pipeline = pipeline_of(dataset)
    assert pipeline.max_boxes == expected
    for batches in (pipeline.train_batches(), pipeline.eval_batches()):
        (batch,) = taken(batches, 1)
        assert batch["boxes"].shape[1] == expected
        assert (batch["classes"][0] == 0).sum() == most


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


def test_orders_are_uniform(dataset: DetectionDataset) -> None:
    """Each image is as often first as any other, over epochs and over seeds."""
    for pipelines, epochs in (
        ([pipeline_of(dataset)], range(350)),
        ([pipeline_of(dataset, seed=s) for s in range(350)], [0]),
    ):
        firsts = [int(p.image_indices_of(epoch * p.steps_per_epoch)[0]) for p in pipelines for epoch in epochs]
        assert (np.abs(np.bincount(firsts, minlength=NUM_IMAGES) - 50) < 30).all()


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_the_images_of_a_step_can_be_told_without_the_batches(dataset: DetectionDataset, sampling: str) -> None:
    pipeline = pipeline_of(dataset, sampling=sampling)
    for step, batch in enumerate(taken(pipeline.train_batches(), 10)):
        np.testing.assert_array_equal(pipeline.image_indices_of(step), batch["image_ids"])
        assert pipeline.images_of_step(step) == [dataset.image_paths[row] for row in batch["image_ids"]]


@pytest.mark.parametrize(
    ("cache", "settings"),
    [
        ("memory", {}),
        ("disk", {}),
        ("none", {}),
        ("memory", {"sampling": "balanced"}),
        ("none", {"augmentation": "strong", "sampling": "balanced"}),
    ],
    ids=str,
)
def test_a_run_that_starts_at_any_step_gives_the_batches_of_one_that_never_stopped(
    dataset: DetectionDataset, tmp_path: pathlib.Path, cache: str, settings: dict[str, Any]
) -> None:
    whole = taken(pipeline_of(dataset, **settings).train_batches(), 12)
    for start in (1, 7):  # in the first epoch, in the third
        resumed = pipeline_of(dataset, cache=cache, cache_dir=str(tmp_path / "cache"), **settings)
        assert_same(taken(resumed.train_batches(start), 12 - start), whole[start:])


def test_batches_change_with_the_seed_and_with_the_epoch(dataset: DetectionDataset) -> None:
    one_image = dataset.select([6])
    batches = taken(pipeline_of(one_image, batch_size=1).train_batches(), 3)
    batches += taken(pipeline_of(one_image, batch_size=1, seed=6).train_batches(), 1)
    assert len({batch["images"].tobytes() for batch in batches}) == 4


def test_balanced_epochs_have_images_of_rare_classes_more_often(dataset: DetectionDataset) -> None:
    """Image i shows the classes below i, so that the last class is on the last image alone."""
    pipeline = pipeline_of(dataset, sampling="balanced", batch_size=7)
    rows = [pipeline.image_indices_of(step).tolist() for step in range(200)]
    assert pipeline.steps_per_epoch == 1
    counts = np.bincount(np.concatenate(rows), minlength=NUM_IMAGES) / 200
    # Six classes: t = 1 / 6, and only the last class is on fewer images than that: 1 of 7, so r = sqrt(7 / 6).
    factors = np.array([1, 1, 1, 1, 1, np.sqrt(7 / 6) if dataset.is_crowd[-1] else 1, np.sqrt(7 / 6)])
    np.testing.assert_allclose(counts, 7 * factors / factors.sum(), atol=0.03)


def test_an_image_that_is_drawn_twice_in_an_epoch_is_augmented_anew(dataset: DetectionDataset) -> None:
    common = dataclasses.replace(dataset, classes=np.where(dataset.classes == 5, 1, 0).astype(np.int32))
    many = common.select([1, 2, 3, 4, 5] * 4 + [6])
    pipeline = pipeline_of(many, sampling="balanced", batch_size=len(many))
    (batch,) = taken(pipeline.train_batches(), 1)
    rare = batch["images"][batch["image_ids"] == 20]
    assert len(rare) in (2, 3)
    assert len({image.tobytes() for image in rare}) == len(rare)


def test_one_training_example_is_that_of_its_batch(dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(dataset, augmentation="strong", batch_size=NUM_IMAGES)
    for epoch, batch in enumerate(taken(pipeline.train_batches(), 2)):
        for place, row in enumerate(batch["image_ids"]):
            single = pipeline.training_example(int(row), epoch)
            assert_same([{n: v.numpy() for n, v in single.items()}], [{n: v[place] for n, v in batch.items()}])


def test_a_mosaic_is_made_of_images_of_the_data_set(dataset: DetectionDataset) -> None:
    """Each image has its own class, so that the classes of a batch tell whose boxes are shown."""
    own = dataset.select([1] * 6)
    own = dataclasses.replace(own, classes=np.arange(6, dtype=np.int32))
    pipeline = pipeline_of(own, augmentation="strong", batch_size=6)
    seen = np.zeros((6, 6), np.int64)
    for batch in taken(pipeline.train_batches(), 30):
        for row, classes in zip(batch["image_ids"], batch["classes"], strict=True):
            seen[row] += np.bincount(classes[classes >= 0], minlength=6)
    assert (seen > 0).all()
    partners = seen[~np.eye(6, dtype=bool)]
    assert partners.max() < 4 * partners.min() + 8


def test_skipped_images_are_not_read(dataset: DetectionDataset) -> None:
    whole = pipeline_of(dataset, cache="none")
    expected = taken(whole.train_batches(2), 1)
    for row in set(range(NUM_IMAGES)) - set(whole.image_indices_of(2)):
        pathlib.Path(dataset.image_paths[row]).unlink()
    assert_same(taken(pipeline_of(dataset, cache="none").train_batches(2), 1), expected)


@pytest.mark.parametrize(("num_shards", "num_parts"), [(2, 1), (1, 2), (2, 2)], ids=str)
def test_shards_and_their_parts_make_up_the_whole_batch(
    dataset: DetectionDataset, num_shards: int, num_parts: int
) -> None:
    whole = taken(pipeline_of(dataset, batch_size=4).train_batches(1), 4)
    shards = [
        taken(
            pipeline_of(dataset, batch_size=4).train_batches(
                1, shard=shard, num_shards=num_shards, num_parts=num_parts
            ),
            4 * num_parts,
        )
        for shard in range(num_shards)
    ]
    for step, batch in enumerate(whole):
        parts = [part for shard in shards for part in shard[step * num_parts : (step + 1) * num_parts]]
        assert {len(part["image_ids"]) for part in parts} == {4 // (num_shards * num_parts)}
        assert_same([{name: np.concatenate([part[name] for part in parts]) for name in batch}], [batch])


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


@given(
    count=st.integers(1, 300), batch_size=st.integers(1, 40), num_shards=st.integers(1, 9), num_parts=st.integers(1, 9)
)
@example(count=1, batch_size=1, num_shards=9, num_parts=9)
def test_all_shards_evaluate_every_image_once_in_equally_many_batches(
    count: int, batch_size: int, num_shards: int, num_parts: int
) -> None:
    shards = [evaluation_rows(count, batch_size, shard, num_shards, num_parts) for shard in range(num_shards)]
    assert sorted(row for rows, _, _ in shards for row in rows) == list(range(count))
    assert {size for _, size, _ in shards} == {max(batch_size // (num_shards * num_parts), 1)}
    (images,) = {len(rows) + padding for rows, _, padding in shards}
    batches, rest = divmod(images, shards[0][1])
    assert rest == 0
    assert batches % num_parts == 0
    assert min(padding for _, _, padding in shards) < shards[0][1] * num_parts  # no more than needed


@pytest.mark.parametrize(
    ("batch_size", "num_shards", "num_parts", "expected"),
    [
        pytest.param(4, 1, 2, [[[0, 1], [2, 3], [4, 5], [6, -1]]], id="two devices"),
        pytest.param(4, 1, 3, [[[0], [1], [2], [3], [4], [5], [6], [-1], [-1]]], id="three devices"),
        pytest.param(4, 2, 1, [[[0, 2], [4, 6]], [[1, 3], [5, -1]]], id="two hosts"),
        pytest.param(8, 2, 2, [[[0, 2], [4, 6]], [[1, 3], [5, -1]]], id="two hosts of two devices"),
        pytest.param(1, 8, 1, [*([[i]] for i in range(7)), [[-1]]], id="more hosts than images"),
    ],
)
def test_a_shard_of_the_evaluation(
    dataset: DetectionDataset, batch_size: int, num_shards: int, num_parts: int, expected: list[list[list[int]]]
) -> None:
    pipeline = pipeline_of(dataset, batch_size=batch_size)
    whole = {int(batch["image_ids"][0]): batch for batch in taken(pipeline_of(dataset, batch_size=1).eval_batches(), 7)}
    for shard, expected_ids in enumerate(expected):
        shard_batches = pipeline.eval_batches(shard=shard, num_shards=num_shards, num_parts=num_parts)
        batches = list(shard_batches.as_numpy_iterator())
        assert shard_batches.cardinality() == len(batches)
        assert [batch["image_ids"].tolist() for batch in batches] == expected_ids
        for batch in batches:
            for place, row in enumerate(batch["image_ids"]):
                if row >= 0:
                    assert_same([{name: value[place : place + 1] for name, value in batch.items()}], [whole[int(row)]])


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


@pytest.mark.parametrize("row", [0, 3], ids=["jpeg", "png"])
@pytest.mark.parametrize(
    ("content", "cause"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"<html>", "Unknown image file format", id="no image"),
        pytest.param(200, "Invalid (JPEG|PNG)", id="cut"),
    ],
)
@pytest.mark.parametrize("cache", ["memory", "none"])
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


@pytest.mark.parametrize(("num_shards", "num_parts"), [(2, 1), (1, 2), (3, 2), (1, 6)], ids=str)
def test_a_batch_that_cannot_be_divided_is_refused(dataset: DetectionDataset, num_shards: int, num_parts: int) -> None:
    devices = num_shards * num_parts
    with pytest.raises(errors.UsageError, match=f"batch_size is 3, which {devices} devices.*a multiple of {devices}"):
        pipeline_of(dataset).train_batches(num_shards=num_shards, num_parts=num_parts)
