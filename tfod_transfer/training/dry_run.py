"""A rehearsal of a run: some steps, one validation, one export in a scratch folder; then what the whole would cost."""

from __future__ import annotations

import pathlib
import tempfile
import time

import tensorflow as tf

from tfod_transfer.execution import ExecutionPolicy
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.serving import signatures
from tfod_transfer.serving.loaded import LoadedDetector
from tfod_transfer.training.exporting import peak_memory_bytes
from tfod_transfer.training.pace import duration
from tfod_transfer.training.trainer import Trainer

_TIMED_STEPS = 3


def rehearse(
    detector: Detector, trainer: Trainer | None, settings: Hyperparameters, policy: ExecutionPolicy
) -> list[str]:
    """Runs everything once and returns what to tell; nothing stays on the disk.

    Raises:
      TransferError: whatever a real run would have stopped with.
    """
    seconds = 0.0
    if trainer is not None:
        started = time.perf_counter()
        step_seconds, validation_seconds = trainer.time_steps(_TIMED_STEPS)
        per_epoch = step_seconds * trainer.steps_per_epoch + validation_seconds
        seconds = time.perf_counter() - started + per_epoch * settings.epochs
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="tfod_transfer-") as scratch:
        target = pathlib.Path(scratch) / "1"
        labels = ["N/A"] * (detector.num_classes + 1)
        signatures.save(signatures.ServingModule(detector, labels, tf.as_dtype(policy.export_precision)), target)
        LoadedDetector(target)
    seconds += time.perf_counter() - started
    return [
        "dry run:    data, model, training steps, validation and export went well; nothing was written",
        f"estimate:   {duration(seconds)} for the whole run, {peak_memory_bytes() / 2**30:.1f} GB of memory",
    ]
