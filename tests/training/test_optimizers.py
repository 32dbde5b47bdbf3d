"""Every documented optimizer, with its own parameters, clipped gradients, and the schedule."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfod_transfer import hyperparameters
from tfod_transfer.training.optimizers import RunSchedule, build_optimizer, build_schedule

RHO, EPSILON = {"rho": 0.8}, {"epsilon": 1e-3}


@pytest.mark.parametrize(
    ("name", "given", "kind", "expected"),
    [
        ("adam", {"beta_1": 0.8, "beta_2": 0.9, **EPSILON}, "Adam", {}),
        ("sgd", {"momentum": 0.7}, "SGD", {"nesterov": False}),
        ("nesterov", {"momentum": 0.7}, "SGD", {"nesterov": True}),
        ("rmsprop", {**RHO, **EPSILON}, "RMSprop", {}),
        ("adagrad", {"initial_accumulator_value": 0.3, **EPSILON}, "Adagrad", {}),
        ("adadelta", {**RHO, **EPSILON}, "Adadelta", {}),
    ],
)
def test_optimizers(name: str, given: dict[str, float], kind: str, expected: dict[str, object]) -> None:
    optimizer = build_optimizer(hyperparameters.resolve({"optimizer": name, "gradient_clip_norm": 3, **given}), 10)
    assert type(optimizer) is getattr(tf_keras.optimizers, kind)
    config = optimizer.get_config()
    assert {key: config[key] for key in (*given, *expected)} == {**given, **expected}
    assert config["global_clipnorm"] == 3


@pytest.mark.parametrize(
    ("clip", "scale"),
    [(0, 1.0), (10, 1.0), (1, 0.2)],  # the norm of both gradients together is 5
)
def test_gradients_are_clipped_by_their_common_norm(clip: float, scale: float) -> None:
    given = {"optimizer": "sgd", "momentum": 0, "learning_rate": 1, "warmup_fraction": 0, "gradient_clip_norm": clip}
    variables = [tf.Variable([0.0, 0.0]), tf.Variable(0.0)]
    build_optimizer(hyperparameters.resolve(given), 10).apply_gradients(
        zip([tf.constant([3.0, 0.0]), tf.constant(4.0)], variables, strict=True)
    )
    assert variables[0].numpy() == pytest.approx([-3.0 * scale, 0.0])
    assert float(variables[1]) == pytest.approx(-4.0 * scale)


def reference_rate(step: int, total_steps: int, settings: hyperparameters.Hyperparameters) -> float:
    """The schedule, step by step, in plain Python."""
    h, warmup = settings, round(settings.warmup_fraction * total_steps)
    if step < warmup:
        first = h.learning_rate / warmup
        return first + (h.learning_rate - first) * step / warmup
    if h.learning_rate_schedule == "cosine":
        progress = min((step - warmup) / max(total_steps - warmup, 1), 1.0)
        return h.learning_rate * (1.0 + np.cos(np.pi * progress)) / 2.0
    rate = h.learning_rate
    if h.learning_rate_schedule == "step":
        for share in h.learning_rate_steps.split(","):
            if step >= round(float(share) * total_steps):
                rate *= h.learning_rate_decay
    return rate


@pytest.mark.parametrize("kind", hyperparameters.SCHEDULES)
@pytest.mark.parametrize(("total_steps", "warmup_fraction"), [(1, 0.1), (7, 0.0), (25, 0.1), (30, 1.0), (103, 0.25)])
def test_schedules_are_the_references_at_every_step(kind: str, total_steps: int, warmup_fraction: float) -> None:
    given = {"learning_rate": 0.08, "learning_rate_schedule": kind, "warmup_fraction": warmup_fraction}
    settings = hyperparameters.resolve({**given, "learning_rate_steps": "0.1,0.7", "learning_rate_decay": 0.5})
    steps = np.arange(total_steps + 2)
    expected = [reference_rate(step, total_steps, settings) for step in steps]
    found = build_schedule(settings, total_steps)(tf.constant(steps))
    np.testing.assert_allclose(found.numpy(), np.asarray(expected, np.float32), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"warmup_fraction": 0.1}, {0: 0.1, 9: 0.91, 10: 1.0, 55: 0.5, 100: 0.0, 200: 0.0}),
        ({"warmup_fraction": 0}, {0: 1.0, 50: 0.5, 100: 0.0}),
        ({"learning_rate_schedule": "constant", "warmup_fraction": 0}, {0: 1.0, 50: 1.0, 100: 1.0}),
        ({"learning_rate_schedule": "constant", "warmup_fraction": 0.2}, {0: 0.05, 10: 0.525, 20: 1.0, 100: 1.0}),
        ({"learning_rate_schedule": "step"}, {9: 0.91, 10: 1.0, 59: 1.0, 60: 0.1, 84: 0.1, 85: 0.01, 100: 0.01}),
        ({"learning_rate_schedule": "step", "learning_rate_steps": ""}, {10: 1.0, 100: 1.0}),
    ],
)
def test_schedules(given: dict[str, object], expected: dict[int, float]) -> None:
    schedule = build_schedule(hyperparameters.resolve({"learning_rate": 1.0, **given}), 100)
    assert {step: float(schedule(step)) for step in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("total_steps", [0, 1])
def test_the_shortest_run_has_a_schedule(total_steps: int) -> None:
    assert float(build_schedule(hyperparameters.resolve({"learning_rate": 1.0}), total_steps)(0)) == 1.0


def test_a_shorter_run_is_the_schedule_of_a_shorter_run_without_another_trace() -> None:
    settings = hyperparameters.resolve({"learning_rate": 1.0})
    schedule, shorter = build_schedule(settings, 100), build_schedule(settings, 40)
    rate = tf.function(schedule.__call__)
    before = float(rate(tf.constant(20)))
    schedule.total_steps.assign(40)
    assert float(rate(tf.constant(20))) == float(shorter(20)) != before
    assert rate.experimental_get_tracing_count() == 1


def test_an_optimizer_can_be_made_again_from_its_configuration() -> None:
    given = {"learning_rate_schedule": "step", "learning_rate": 0.3, "gradient_clip_norm": 2}
    optimizer = build_optimizer(hyperparameters.resolve(given), 100)
    known = {"RunSchedule": RunSchedule}
    again = type(optimizer).from_config(optimizer.get_config(), custom_objects=known)
    assert again.get_config() == optimizer.get_config()
    scaled = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
    again = type(scaled).from_config(scaled.get_config(), custom_objects=known)
    assert again.inner_optimizer.get_config() == optimizer.get_config()
