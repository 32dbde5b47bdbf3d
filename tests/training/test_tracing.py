"""A whole run traces each of its two functions once: every further trace would cost what many steps do."""

from __future__ import annotations

import pathlib

import noisy_images
import pytest
import tensorflow as tf
from tiny_detector import TinyDetector, settings_for

from tfod_transfer.training.checkpoints import RunCheckpoints
from tfod_transfer.training.interruption import StopRequests
from tfod_transfer.training.results import TrainingResult
from tfod_transfer.training.run import Run
from tfod_transfer.training.run_identity import RunIdentity
from tfod_transfer.training.strategy import Devices
from tfod_transfer.training.trainer import Trainer

NUM_IMAGES, NUM_VALIDATION_IMAGES, BATCH_SIZE = 6, 5, 4
EPOCHS = 3


def trainer_in(folder: pathlib.Path, **given: object) -> Trainer:
    """Epochs end in the middle of a batch, and validations too."""
    settings = settings_for(epochs=EPOCHS, batch_size=BATCH_SIZE, augmentation="none", **given)
    images = noisy_images.write(folder, NUM_IMAGES + NUM_VALIDATION_IMAGES)
    train, validation = images.select(range(NUM_IMAGES)), images.select(range(NUM_IMAGES, len(images)))
    detector = TinyDetector(dtype="float16" if settings.precision == "float16" else "float32")
    return Trainer(detector, train, validation, settings, Devices(tf.distribute.get_strategy()))  # type: ignore[arg-type]


def finish(trainer: Trainer, folder: pathlib.Path) -> TrainingResult:
    checkpoints = RunCheckpoints(folder / "run", RunIdentity({}))
    with checkpoints.opened():
        result = Run(trainer, checkpoints, StopRequests()).finish()
    assert result is not None
    return result


def traces(trainer: Trainer) -> list[int]:
    functions = (trainer.loop.train_function, trainer.loop.predict_function)
    return [function.experimental_get_tracing_count() for function in functions]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="plain"),
        pytest.param({"gradient_accumulation": 2, "ema_decay": 0.9, "max_time": 3600}, id="parts, averages, a budget"),
        pytest.param({"gradient_accumulation": 2, "ema_decay": 0.9, "precision": "float16"}, id="float16"),
    ],
)
def test_a_whole_run_traces_each_function_once(given: dict[str, object], tmp_path: pathlib.Path) -> None:
    trainer = trainer_in(tmp_path, **given)
    result = finish(trainer, tmp_path)
    assert len(result.history) == EPOCHS
    assert int(trainer.model.optimizer.iterations) == EPOCHS * 2
    assert traces(trainer) == [1, 1]
    trainer.validate()
    assert traces(trainer) == [1, 1]
