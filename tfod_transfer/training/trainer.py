"""One training run: batches, optimizer, epochs, validation, the best weights."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfod_transfer import errors
from tfod_transfer.data import pipeline
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.modeling.detector import Detector, trainable_variables_for
from tfod_transfer.training.callbacks import EpochEvaluation, EpochResult, FiniteLoss, Validation
from tfod_transfer.training.fine_tuner import FineTuner, check_parts
from tfod_transfer.training.optimizers import build_optimizer


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What a run gave: validation before it, each epoch, the best epoch, and the best weights' detections."""

    before: Validation
    history: Sequence[EpochResult]
    best: EpochResult | None
    final: Validation
    detections: ImageDetections


class Trainer:
    """Fine-tunes a detector on one data set and validates it on another."""

    def __init__(
        self,
        detector: Detector,
        train_set: DetectionDataset,
        validation_set: DetectionDataset,
        hyperparameters: Hyperparameters,
        strategy: tf.distribute.Strategy,
    ) -> None:
        """Prepares the input and the optimizer; `detector` was built under `strategy.scope()`."""
        self._validation_set = validation_set
        self._hyperparameters = hyperparameters
        self.input = pipeline.InputPipeline(train_set, detector.spec, hyperparameters)
        self._validation_input = pipeline.InputPipeline(validation_set, detector.spec, hyperparameters)
        self._train_batches = self.input.train_batches()
        self._validation_batches = self._validation_input.eval_batches()
        self.steps_per_epoch = self.input.steps_per_epoch
        check_parts(hyperparameters.batch_size, strategy.num_replicas_in_sync, hyperparameters.gradient_accumulation)
        self.total_steps = self.steps_per_epoch * hyperparameters.epochs
        variables = trainable_variables_for(detector, only_top=hyperparameters.train_only_on_top_layer)
        with strategy.scope():
            self.model = FineTuner(
                detector,
                variables,
                hyperparameters.regularizers_l2,
                seed=hyperparameters.seed,
                ema_decay=hyperparameters.ema_decay,
                gradient_accumulation=hyperparameters.gradient_accumulation,
            )
            self.model.compile(build_optimizer(hyperparameters, self.total_steps))

    def train(self, report: Callable[[EpochResult], None]) -> TrainingResult:
        """Runs all epochs; calls `report` after each; leaves the detector with the best epoch's weights.

        Raises:
          TrainingError: a loss is not finite.
        """
        before, detections = self.validate()
        evaluation = EpochEvaluation(
            lambda: self.validate()[0], self._hyperparameters, report, self._hyperparameters.batch_size
        )
        if self.total_steps:
            self._fit([evaluation], epochs=self._hyperparameters.epochs, steps_per_epoch=self.steps_per_epoch)
        final = before
        if evaluation.best_weights is not None:
            self.model.set_weights(evaluation.best_weights)
            with self.model.averaged():
                averages = self.model.detector.get_weights()
            self.model.detector.set_weights(averages)  # what was validated is what is exported
            final, detections = self.validate()
        return TrainingResult(before, evaluation.history_, evaluation.best, final, detections)

    def time_steps(self, steps: int) -> tuple[float, float]:
        """Runs some training steps and one validation; returns seconds for a step and for the validation.

        Raises:
          TrainingError: a loss is not finite.
        """
        self._fit([], steps_per_epoch=1)  # traces
        step_seconds = _seconds(lambda: self._fit([], steps_per_epoch=steps)) / steps
        return step_seconds, _seconds(self.validate)

    def validate(self) -> tuple[Validation, ImageDetections]:
        """Losses, COCO metrics and detections of the validation images.

        Raises:
          TrainingError: a validation loss is not finite.
        """
        with self._validation_input.naming_files(), self.model.averaged():
            outputs = self.model.predict(self._validation_batches, verbose=0)
        real = outputs["image_ids"] >= 0
        outputs = {name: values[real] for name, values in outputs.items()}
        normalizer = max(float(np.sum(outputs["positives"])), 1.0)
        localization = float(np.sum(outputs["localization"])) / normalizer
        classification = float(np.sum(outputs["classification"])) / normalizer
        if not math.isfinite(localization + classification):
            raise errors.TrainingError(
                f"the validation loss is not a finite number (localization {localization}, classification "
                f"{classification}): training diverged. Lower learning_rate ({self._hyperparameters.learning_rate:g})."
            )
        detections = ImageDetections(outputs["boxes"], outputs["classes"], outputs["scores"])
        return Validation(localization, classification, coco_metrics(self._validation_set, detections)), detections

    def describe_input(self) -> list[str]:
        """Where the decoded images are kept."""
        places = zip(("training", "validation"), (self.input, self._validation_input), strict=True)
        return [f"images:     {name}: {text}" for name, each in places for text in each.cache_descriptions]

    def _fit(self, callbacks: Sequence[tf_keras.callbacks.Callback], **arguments: int) -> None:
        guard = FiniteLoss(self.input.images_of_step)
        with self.input.naming_files():
            self.model.fit(
                self._train_batches,
                callbacks=[guard, *callbacks],
                verbose=1 if sys.stdout.isatty() else 0,
                **arguments,
            )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
