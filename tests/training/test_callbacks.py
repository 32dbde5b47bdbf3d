"""What happens around the steps: losses that are not finite, the best epoch, early stopping, log lines."""

from __future__ import annotations

import math
import re
import types

import numpy as np
import pytest
import tensorflow as tf

from tfod_transfer import errors, hyperparameters
from tfod_transfer.evaluation.coco_metrics import CocoMetrics
from tfod_transfer.training import progress
from tfod_transfer.training.callbacks import EpochEvaluation, EpochResult, FiniteLoss, Validation


def validation(ap: float, localization: float = 0.1, classification: float = 0.2) -> Validation:
    return Validation(localization, classification, CocoMetrics({"AP": ap, "AP50": ap}, {}))


class Weights:
    """Stands in for a model: its weights say which epoch they are of."""

    def __init__(self) -> None:
        self.epoch = -1
        self.stop_training = False
        self.optimizer = types.SimpleNamespace(learning_rate=tf.Variable(0.25))

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.epoch)]


def run(values: list[Validation], **given: object) -> tuple[EpochEvaluation, Weights, list[EpochResult]]:
    reported: list[EpochResult] = []
    left = iter(values)
    settings = hyperparameters.resolve(given)
    callback, model = EpochEvaluation(lambda: next(left), settings, reported.append, batch_size=4), Weights()
    callback.set_model(model)
    for epoch in range(len(values)):
        if model.stop_training:
            break
        model.epoch = epoch
        callback.on_epoch_begin(epoch)
        for loss in (1.0, 2.0):
            callback.on_train_batch_end(0, {"loss": loss})
        callback.on_epoch_end(epoch)
    return callback, model, reported


@pytest.mark.parametrize(
    ("values", "objective", "best"),
    [
        ([0.1, 0.3, 0.2], "mAP", 1),
        ([0.0, 0.0, 0.0], "mAP", 2),  # all the same: the lowest loss
        ([0.1, 0.3, 0.2], "mAP50", 1),
        ([0.1, 0.3, 0.2], "loss", 2),
        ([0.1, 0.3, 0.2], "localization", 2),
        ([0.1, 0.3, 0.2], "classification", 2),  # all the same: the lowest loss
    ],
)
def test_the_best_epoch_is_kept(values: list[float], objective: str, best: int) -> None:
    validations = [validation(ap, localization=1.0 - 0.1 * epoch) for epoch, ap in enumerate(values)]
    callback, _, reported = run(validations, objective=objective)
    assert callback.best is not None
    assert callback.best.epoch == best
    assert callback.best_weights == [best]
    assert [each.loss for each in reported] == [1.5] * 3


@pytest.mark.parametrize(
    ("given", "epochs"),
    [
        ({"early_stopping": True, "early_stopping_patience": 2}, 5),  # best at 2, then two without improvement
        ({"early_stopping": True, "early_stopping_patience": 2, "early_stopping_min_delta": 0.2}, 4),
        ({"early_stopping": False, "early_stopping_patience": 2}, 6),
    ],
)
def test_early_stopping(given: dict[str, object], epochs: int) -> None:
    values = [validation(ap) for ap in (0.1, 0.4, 0.5, 0.5, 0.5, 0.9)]
    _, _, reported = run(values, **given)
    assert len(reported) == epochs


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_images_and_the_learning_rate(bad: float) -> None:
    callback = FiniteLoss(lambda step: [f"image_of_step_{step}.jpg"])
    callback.set_model(Weights())
    callback.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(errors.TrainingError) as error:
        callback.on_train_batch_end(0, {"loss": bad})
    assert "at step 1" in str(error.value)
    assert "learning rate 0.25" in str(error.value)
    assert "image_of_step_1.jpg" in str(error.value)


def test_log_lines_fit_sagemakers_regexes() -> None:
    result = EpochResult(3, 0.00001234, 0.296, validation(0.5, 1e-6, 241507.3912))
    lines = progress.epoch_lines(result)
    assert lines == [
        "[Epoch 3], Speed: 0.296 samples/sec, loss=0.00001234.",
        "[Epoch 3], Val_localization=0.000, Val_classification=241507.391",
        "[Epoch 3], Val_mAP=0.5000",
        "[Epoch 3], Val_mAP50=0.5000",
    ]
    text = "\n".join(lines)
    assert re.findall(r"Val_localization=([0-9\.]+)", text) == ["0.000"]
    assert re.findall(r"Val_classification=([0-9\.]+)", text) == ["241507.391"]
    assert re.findall(r"loss=([0-9\.]+).", text) == ["0.00001234"]
