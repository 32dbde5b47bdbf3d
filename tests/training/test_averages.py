"""Moving averages of weights: their values, and that they leave the weights as they were."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from tiny_detector import averages, batch_of, tiny_fine_tuner, weights

from tfod_transfer.training.averages import MovingAverages


def reference_average(values: list[float], decay: float) -> Iterator[float]:
    """The average after each of `values` but the first, where it starts; one by one in plain Python."""
    average = values[0]
    for step, value in enumerate(values[1:], start=1):
        d = min(decay, (1 + step) / (10 + step))
        average = d * average + (1 - d) * value
        yield average


@pytest.mark.parametrize("decay", [0.1, 0.25, 0.999])  # 0.25 is reached after three steps
def test_averages_are_the_references(decay: float) -> None:
    values = [3.0, -1.0, 2.0, 2.0, 7.0, 0.5]
    variable, steps = tf.Variable(values[0]), tf.Variable(0, dtype=tf.int64)
    kept = MovingAverages([variable], decay)
    update = tf.function(lambda: kept.update(steps))
    found = []
    for value in values[1:]:
        variable.assign(value)
        steps.assign_add(1)
        update()
        found.append(float(kept.averages[0]))
    assert found == pytest.approx(list(reference_average(values, decay)), rel=1e-5)


def test_an_average_of_what_stays_the_same_stays_the_same() -> None:
    variable, steps = tf.Variable(np.float32(0.1)), tf.Variable(1, dtype=tf.int64)
    kept = MovingAverages([variable], 0.9)
    kept.update(steps)
    assert kept.averages[0].numpy() == variable.numpy()


def test_averages_take_the_weights_place_and_give_it_back() -> None:
    model = tiny_fine_tuner(ema_decay=0.9)
    step = tf.function(model.train_step)
    for each in range(3):
        step(batch_of(each))
    before = weights(model)
    with model.averaged():
        inside = weights(model)
    np.testing.assert_array_equal(weights(model), before)
    assert not np.array_equal(inside, before)
    with pytest.raises(KeyError), model.averaged():
        raise KeyError
    np.testing.assert_array_equal(weights(model), before)
    np.testing.assert_array_equal(averages(model), inside)


def test_without_averages_the_weights_stay_where_they_are() -> None:
    model = tiny_fine_tuner()
    np.testing.assert_array_equal(averages(model), weights(model))
