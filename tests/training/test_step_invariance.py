"""What a step must not depend on: parts, overflows of other steps, the moment at which a run was stopped."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tiny_detector import averages, batch_of, tiny_fine_tuner, weights

from tfod_transfer import errors, hyperparameters
from tfod_transfer.training.fine_tuner import FineTuner, check_parts


def run(model: FineTuner, steps: range) -> list[dict[str, float]]:
    """Runs steps on their own batches, in one trace; returns the losses of each."""
    step = tf.function(model.train_step)
    losses = [{name: float(value) for name, value in step(batch_of(each)).items()} for each in steps]
    assert step.experimental_get_tracing_count() == 1
    return losses


@pytest.fixture(scope="module")
def undivided() -> tuple[list[dict[str, float]], np.ndarray]:
    model = tiny_fine_tuner(gradient_clip_norm=0.5)
    return run(model, range(3)), weights(model)


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_change_neither_losses_nor_weights(
    parts: int, undivided: tuple[list[dict[str, float]], np.ndarray]
) -> None:
    losses, expected = undivided
    model = tiny_fine_tuner(gradient_clip_norm=0.5, gradient_accumulation=parts)
    start = weights(model)
    found = run(model, range(3))
    for mine, theirs in zip(found, losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    np.testing.assert_allclose(weights(model), expected, rtol=0, atol=1e-6 * np.abs(expected - start).max() + 1e-7)
    assert np.abs(expected - start).max() > 0.01


def test_trained_batch_norm_sees_each_part() -> None:
    statistics = []
    for parts in (1, 2):
        model = tiny_fine_tuner(freeze_batch_norm=False, gradient_accumulation=parts)
        run(model, range(1))
        statistics.append(model.detector.norm.moving_mean.numpy())
    # Two updates with momentum 0.9 from 0 leave 0.19 of a mean, one leaves 0.1.
    assert np.linalg.norm(statistics[1]) == pytest.approx(1.9 * np.linalg.norm(statistics[0]), rel=0.15)


@pytest.mark.parametrize(
    ("batch_size", "devices", "parts", "message"),
    [
        (4, 1, 3, "batch_size 4 cannot be computed in 3 equal parts (gradient_accumulation). Choose a multiple of 3."),
        (4, 2, 4, "4 equal parts (gradient_accumulation) on 2 devices. Choose a multiple of 8."),
    ],
)
def test_parts_must_be_equal(batch_size: int, devices: int, parts: int, message: str) -> None:
    check_parts(devices * parts * 3, devices, parts)
    with pytest.raises(errors.UsageError) as error:
        check_parts(batch_size, devices, parts)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("optimizer", "parts", "traced"),
    [
        pytest.param("adam", 1, True, id="adam"),
        pytest.param("adam", 2, True, id="adam, parts"),
        # What the others keep does not depend on tracing, which takes most of the time.
        *(pytest.param(name, 2, False, id=name) for name in hyperparameters.OPTIMIZERS if name != "adam"),
    ],
)
def test_a_run_that_goes_on_ends_with_the_same_bits(
    tmp_path: pathlib.Path, optimizer: str, parts: int, traced: bool
) -> None:
    given = {"optimizer": optimizer, "gradient_clip_norm": 0.5, "ema_decay": 0.9, "gradient_accumulation": parts}
    whole = tiny_fine_tuner(**given)
    whole.set_total_steps(8)
    step = tf.function(whole.train_step) if traced else whole.train_step
    for each in range(4):
        if each == 2:
            half, path = weights(whole), tf.train.Checkpoint(model=whole).write(str(tmp_path / "half"))
        step(batch_of(each))
    going_on = tiny_fine_tuner(**given)
    tf.train.Checkpoint(model=going_on).read(path).assert_consumed()
    step = tf.function(going_on.train_step) if traced else going_on.train_step
    for each in range(2, 4):
        step(batch_of(each))

    np.testing.assert_array_equal(weights(going_on), weights(whole))
    np.testing.assert_array_equal(averages(going_on), averages(whole))
    assert going_on.optimizer.learning_rate.numpy() == whole.optimizer.learning_rate.numpy()
    assert not np.array_equal(weights(whole), half)


def test_the_end_of_a_run_moves_without_another_trace() -> None:
    model = tiny_fine_tuner()
    step = tf.function(model.train_step)
    rates = []
    for total, each in ((10, 0), (10, 1), (4, 2)):
        model.set_total_steps(total)
        step(batch_of(each))
        rates.append(float(model.optimizer.learning_rate))
    assert rates == pytest.approx([0.05 * (1 + np.cos(np.pi * share)) / 2 for share in (0.0, 0.1, 0.5)])
    assert step.experimental_get_tracing_count() == 1


def test_float16_with_everything_learns_alike() -> None:
    given = {"gradient_clip_norm": 0.5, "ema_decay": 0.9, "gradient_accumulation": 2}
    found, expected = (tiny_fine_tuner(dtype=dtype, **given) for dtype in (tf.float16, tf.float32))
    start = weights(found)
    for model in (found, expected):
        run(model, range(3))
    for values in (weights, averages):
        change = values(expected) - start
        assert np.linalg.norm(values(found) - values(expected)) < 0.01 * np.linalg.norm(change)


def test_an_overflow_in_float16_changes_no_weight_and_the_average_takes_them_in() -> None:
    model = tiny_fine_tuner(dtype=tf.float16, gradient_clip_norm=0.5, ema_decay=0.9, gradient_accumulation=2)
    step = tf.function(model.train_step)
    step(batch_of(0))
    before, average, scale = weights(model), averages(model), float(model.optimizer.loss_scale)
    too_bright = batch_of(1)
    too_bright["images"] = np.full(too_bright["images"].shape, 1e7, np.float32)
    tf.function(model.train_step)(too_bright)
    np.testing.assert_array_equal(weights(model), before)
    assert float(model.optimizer.loss_scale) == scale / 2
    assert int(model.optimizer.iterations) == 2
    decay = 3 / 12
    np.testing.assert_allclose(averages(model), decay * average + (1 - decay) * before, rtol=1e-5, atol=1e-7)
