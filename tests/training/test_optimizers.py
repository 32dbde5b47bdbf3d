"""Every documented optimizer, with its own parameters, and the schedule."""

from __future__ import annotations

import pytest
import tf_keras

from tfod_transfer import hyperparameters
from tfod_transfer.training.optimizers import build_optimizer, build_schedule

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
    optimizer = build_optimizer(hyperparameters.resolve({"optimizer": name, **given}), 10)
    assert type(optimizer) is getattr(tf_keras.optimizers, kind)
    config = optimizer.get_config()
    assert {key: config[key] for key in (*given, *expected)} == {**given, **expected}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"warmup_fraction": 0.1}, {0: 0.1, 9: 0.91, 10: 1.0, 55: 0.5, 100: 0.0, 200: 0.0}),
        ({"warmup_fraction": 0}, {0: 1.0, 50: 0.5, 100: 0.0}),
        ({"learning_rate_schedule": "constant", "warmup_fraction": 0}, {0: 1.0, 50: 1.0, 100: 1.0}),
        ({"learning_rate_schedule": "constant", "warmup_fraction": 0.2}, {0: 0.05, 10: 0.525, 20: 1.0, 100: 1.0}),
    ],
)
def test_schedules(given: dict[str, object], expected: dict[int, float]) -> None:
    schedule = build_schedule(hyperparameters.resolve({"learning_rate": 1.0, **given}), 100)
    assert {step: float(schedule(step)) for step in expected} == pytest.approx(expected, abs=1e-6)


def test_a_run_of_one_step_has_a_schedule() -> None:
    assert float(build_schedule(hyperparameters.resolve({"learning_rate": 1.0}), 1)(0)) == 1.0
