"""Which images a training batch has, and how they are changed: by seed, epoch and image, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import seven_images
from seven_images import NUM_IMAGES, assert_same, pipeline_of, taken

from tfod_transfer import errors
from tfod_transfer.data.dataset import DetectionDataset


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> DetectionDataset:
    return seven_images.write(tmp_path)


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
    ("settings", "starts"),
    [
        # steps of the first epoch and of the third, and the cache of the run that starts there
        pytest.param({}, [(1, "memory"), (7, "disk"), (8, "none")], id="uniform"),
        pytest.param({"sampling": "balanced"}, [(8, "memory")], id="balanced"),
        pytest.param({"augmentation": "strong", "sampling": "balanced"}, [(8, "none")], id="balanced, strong"),
    ],
)
def test_a_run_that_starts_at_any_step_gives_the_batches_of_one_that_never_stopped(
    dataset: DetectionDataset, tmp_path: pathlib.Path, settings: dict[str, Any], starts: list[tuple[int, str]]
) -> None:
    whole = taken(pipeline_of(dataset, **settings).train_batches(), 12)
    for start, cache in starts:
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
    pipeline = pipeline_of(dataset, batch_size=NUM_IMAGES)
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


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_a_step_names_all_its_files_those_of_mosaics_too(dataset: DetectionDataset, sampling: str) -> None:
    """A file that is not there stops the steps that name it, and no others."""
    pipeline = pipeline_of(dataset, augmentation="strong", sampling=sampling, batch_size=1, cache="none")
    rows = [int(pipeline.image_indices_of(step)[0]) for step in range(NUM_IMAGES)]
    once = [(step, row) for step, row in enumerate(rows) if rows.count(row) == 1]
    partners = 0
    for path in map(pathlib.Path, dataset.image_paths):
        hidden = path.rename(path.with_suffix(".hidden"))
        for step, row in once:
            named = pipeline.images_of_step(step)
            assert named[0] == dataset.image_paths[row]
            partners += str(path) in named[1:]
            is_stopped = pytest.raises(errors.DataError, match=f"^{path}: ")
            with is_stopped if str(path) in named else contextlib.nullcontext(), pipeline.naming_files():
                pipeline.training_example(row, 0)
        hidden.rename(path)
    assert partners > 3


def test_a_batch_names_the_bad_file_that_only_a_mosaic_shows(dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(dataset, augmentation="strong", cache="none")
    step, path = next((step, path) for step in range(20) for path in pipeline.images_of_step(step)[3:])
    pathlib.Path(path).write_bytes(b"<html>")
    with pytest.raises(errors.DataError, match=f"^{path}: "), pipeline.naming_files():
        taken(pipeline.train_batches(step), 1)
