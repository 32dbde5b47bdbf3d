"""Features that are kept: the same training as without, in less time, and what happens where they cannot be."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import Any

import noisy_images
import numpy as np
import pytest
import tensorflow as tf
from small_backbone import build_small, thin_spec

from tfod_transfer import errors, hyperparameters, registry
from tfod_transfer.data import cache
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.pipeline import InputPipeline
from tfod_transfer.modeling.detector import Detector, FrozenPart, trainable_variables_for
from tfod_transfer.modeling.layers import Execution
from tfod_transfer.training.fine_tuner import FineTuner
from tfod_transfer.training.frozen_features import input_pipeline
from tfod_transfer.training.optimizers import build_optimizer

NUM_IMAGES, BATCH_SIZE = 7, 3


@pytest.fixture(scope="module")
def spec() -> registry.ModelSpec:
    return thin_spec(feature_depth=32)  # features take more room than images


@pytest.fixture(scope="module")
def detector(spec: registry.ModelSpec) -> Detector:
    """Its class layers tell places apart by more than rounding does, or the order of what is found would be chance."""
    detector = build_small(spec)
    for variable in trainable_variables_for(detector, only_top=True):
        if len(variable.shape) == 4:
            variable.assign(10 * variable)
    return detector


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    """Seven of them."""
    return noisy_images.write(tmp_path_factory.mktemp("images"), NUM_IMAGES)


def settings_of(**given: Any) -> hyperparameters.Hyperparameters:
    fixed = {"batch_size": BATCH_SIZE, "cache": "memory", "augmentation": "none", "warmup_fraction": 0}
    return hyperparameters.resolve({"train_only_on_top_layer": True, **fixed, **given})


def pipeline_of(detector: Detector, dataset: DetectionDataset, **given: Any) -> InputPipeline:
    return input_pipeline(detector, dataset, settings_of(**given), print)


@pytest.fixture(scope="module")
def kept(detector: Detector, dataset: DetectionDataset) -> InputPipeline:
    return pipeline_of(detector, dataset)


def taken(batches: tf.data.Dataset, count: int = 100) -> list[dict[str, Any]]:
    return list(batches.take(count).as_numpy_iterator())


def assert_same(actual: Any, expected: Any) -> None:
    tf.nest.assert_same_structure(actual, expected)
    for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        pytest.param("train_batches", {}, 7, id="two epochs and a step"),
        pytest.param("train_batches", {"start_step": 4}, 3, id="resumed"),
        pytest.param("train_batches", {"shard": 1, "num_shards": 3}, 4, id="one of three hosts"),
        pytest.param("eval_batches", {}, 3, id="validation"),
    ],
)
def test_batches_have_the_features_of_their_images(
    detector: Detector,
    dataset: DetectionDataset,
    kept: InputPipeline,
    name: str,
    arguments: dict[str, int],
    count: int,
) -> None:
    pictures = InputPipeline(dataset, detector.spec, settings_of())
    batches, expected = (taken(getattr(pipeline, name)(**arguments), count) for pipeline in (kept, pictures))
    assert len(batches) == len(expected) == count
    for batch, other in zip(batches, expected, strict=True):
        features, images = batch.pop("features"), other.pop("images")
        real = other["image_ids"] >= 0
        for one, another in zip(
            tf.nest.flatten(features), tf.nest.flatten(detector.frozen_part(tf.constant(images))), strict=True
        ):
            np.testing.assert_allclose(one[real], another.numpy()[real], rtol=1e-5, atol=1e-5)
        assert_same(batch, other)


def test_every_shape_is_known_so_that_a_step_is_traced_once(kept: InputPipeline) -> None:
    for batches in (kept.train_batches(), kept.eval_batches()):
        assert isinstance(batches.element_spec["features"], FrozenPart)
        assert all(part.shape.is_fully_defined() for part in tf.nest.flatten(batches.element_spec))


def trained(
    detector: Detector, inputs: InputPipeline
) -> tuple[list[dict[str, float]], list[dict[str, np.ndarray]], list[np.ndarray]]:
    """Losses of seven steps, what validation gives then, and the trained weights; the detector stays as it was."""
    settings = settings_of(optimizer="sgd", learning_rate=0.05)
    variables = trainable_variables_for(detector, only_top=True)
    before = [variable.numpy() for variable in variables]
    model = FineTuner(detector, variables, None, seed=0)
    model.compile(build_optimizer(settings, 7))
    step, predict = tf.function(model.train_step), tf.function(model.predict_step)
    losses = [{key: float(x) for key, x in step(batch).items()} for batch in inputs.train_batches().take(7)]
    outputs = [
        {key: x[batch["image_ids"] >= 0].numpy() for key, x in predict(batch).items()}
        for batch in inputs.eval_batches()
    ]
    assert step.experimental_get_tracing_count() == predict.experimental_get_tracing_count() == 1
    weights = [variable.numpy() for variable in variables]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return losses, outputs, weights


def test_training_is_the_same_as_without(detector: Detector, dataset: DetectionDataset, kept: InputPipeline) -> None:
    found = trained(detector, kept)
    expected = trained(detector, InputPipeline(dataset, detector.spec, settings_of()))
    assert found[0][-1]["classification"] < found[0][0]["classification"]
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_kept_as_such(spec: registry.ModelSpec, dataset: DetectionDataset) -> None:
    detector = build_small(spec, execution=Execution(tf.bfloat16))
    pictures = InputPipeline(dataset, spec, settings_of())
    batch, other = (next(iter(each.train_batches())) for each in (pipeline_of(detector, dataset), pictures))
    expected = tf.function(detector.frozen_part)(other["images"])
    for one, another in zip(tf.nest.flatten(batch["features"]), tf.nest.flatten(expected), strict=True):
        assert one.dtype == tf.bfloat16
        np.testing.assert_allclose(tf.cast(one, tf.float32), tf.cast(another, tf.float32), rtol=0.02, atol=0.02)


CHANGING = [
    # hyperparameters, free memory, whether there are features for training and for validation, what is said
    pytest.param({}, 10**9, (True, True), "7 images' features .* are cached in memory", id="kept"),
    pytest.param({"augmentation": "zoo"}, 10**9, (False, True), "change with augmentation zoo", id="augmentation"),
    pytest.param({"freeze_batch_norm": False}, 10**9, (False, False), "freeze_batch_norm False", id="batch norm"),
    pytest.param({"cache": "none"}, 10**9, (False, False), "7 images' features .* not cached: every", id="no cache"),
    pytest.param({"cache": "auto"}, 10**5, (False, False), "a cache_dir would keep them", id="no room, no folder"),
]


@pytest.mark.parametrize(("given", "memory", "expected", "sentence"), CHANGING)
def test_when_they_are_kept_and_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
    detector: Detector,
    dataset: DetectionDataset,
    given: dict[str, Any],
    memory: int,
    expected: tuple[bool, bool],
    sentence: str,
) -> None:
    monkeypatch.setattr(cache, "available_memory", lambda: memory)
    pipeline = pipeline_of(detector, dataset, **given)
    batches = pipeline.train_batches(), pipeline.eval_batches()
    assert tuple("features" in each.element_spec for each in batches) == expected
    assert all(("images" in each.element_spec) != ("features" in each.element_spec) for each in batches)
    assert any(re.search(sentence, text) for text in pipeline.cache_descriptions), pipeline.cache_descriptions


def test_without_the_room_that_was_asked_for_images_may_still_have_it(
    monkeypatch: pytest.MonkeyPatch, detector: Detector, dataset: DetectionDataset
) -> None:
    monkeypatch.setattr(cache, "available_memory", lambda: 220_000)
    pipeline = pipeline_of(detector, dataset)
    assert "images" in pipeline.train_batches().element_spec
    features, pictures = pipeline.cache_descriptions
    assert re.search("cache=memory: 7 images' features .* do not fit.*: every step computes them anew", features)
    assert "cached in memory" in pictures


def files_in(folder: pathlib.Path) -> dict[pathlib.Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_run_finds_them_on_disk_and_computes_what_is_damaged(
    detector: Detector, dataset: DetectionDataset, tmp_path: pathlib.Path
) -> None:
    given = {"cache": "disk", "cache_dir": str(tmp_path)}
    pipeline_of(detector, dataset, **given).train_batches()
    files = files_in(tmp_path)
    assert len(files) == NUM_IMAGES
    first, second = sorted(files)[:2]
    first.write_bytes(files[first][:-30])  # a process was killed while it wrote
    second.unlink()
    untouched = {path: path.stat().st_mtime_ns for path in files if path not in (first, second)}
    (batch,) = taken(pipeline_of(detector, dataset, **given).train_batches(), 1)
    assert files_in(tmp_path) == files
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched
    assert np.isfinite(batch["features"].box_encodings).all()


def test_other_weights_have_other_files(
    spec: registry.ModelSpec, dataset: DetectionDataset, tmp_path: pathlib.Path
) -> None:
    given = {"cache": "disk", "cache_dir": str(tmp_path)}
    other = build_small(spec, seed=1)
    pipeline_of(other, dataset, **given).train_batches()
    for variable in trainable_variables_for(other, only_top=True):
        variable.assign_add(tf.ones_like(variable))
    pipeline_of(other, dataset, **given).train_batches()
    assert len(files_in(tmp_path)) == NUM_IMAGES
    backbone = other.backbone.trainable_variables[0]
    backbone.assign_add(tf.ones_like(backbone))
    pipeline_of(other, dataset, **given).train_batches()
    assert len(files_in(tmp_path)) == 2 * NUM_IMAGES


def test_files_that_are_damaged_while_it_runs(
    detector: Detector, dataset: DetectionDataset, tmp_path: pathlib.Path
) -> None:
    pipeline = pipeline_of(detector, dataset, cache="disk", cache_dir=str(tmp_path))
    batches = pipeline.train_batches()
    for path in files_in(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(errors.UsageError, match=f"cache_dir: .*{tmp_path.name}.*start again"), pipeline.naming_files():
        taken(batches, 1)


def test_an_image_that_does_not_decode_is_named(
    detector: Detector, dataset: DetectionDataset, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    broken = dataclasses.replace(dataset, image_paths=[*dataset.image_paths[:-1], str(tmp_path / "bad.png")])
    with pytest.raises(errors.DataError, match=r"bad\.png: expected an image that decodes"):
        pipeline_of(detector, broken).train_batches()


def test_other_trainings_have_images(detector: Detector, dataset: DetectionDataset) -> None:
    pipeline = pipeline_of(detector, dataset, train_only_on_top_layer=False)
    assert "images" in pipeline.train_batches().element_spec
    assert not any("features" in text for text in pipeline.cache_descriptions)
