"""What a run is made of: input, model, optimizer; one training step, one validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from tfod_transfer import errors
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics
from tfod_transfer.evaluation.overlap_map import overlap_map
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.modeling.detector import Detector, trainable_variables_for
from tfod_transfer.training import frozen_features
from tfod_transfer.training.fine_tuner import FineTuner, check_parts
from tfod_transfer.training.loop import Batch, Loop, StepOutcome
from tfod_transfer.training.optimizers import build_optimizer
from tfod_transfer.training.results import Validation
from tfod_transfer.training.strategy import Devices


class Trainer:
    """Fine-tunes a detector on one data set and validates it on another."""

    def __init__(
        self,
        detector: Detector,
        train_set: DetectionDataset,
        validation_set: DetectionDataset,
        hyperparameters: Hyperparameters,
        devices: Devices,
        tell: Callable[[str], None] = print,
    ) -> None:
        """Prepares the input and the optimizer.

        Args:
          detector: was built under `devices.strategy.scope()`.
          train_set: images to train on.
          validation_set: images to validate on.
          hyperparameters: of the run.
          devices: to train on.
          tell: is given sentences for the person who runs it.
        """
        self._detector = detector
        self.validation_set = validation_set
        self.num_images = len(train_set)
        self.hyperparameters = hyperparameters
        self.devices = devices
        self.input, self._validation_input = (
            frozen_features.input_pipeline(detector, dataset, hyperparameters, tell)
            for dataset in (train_set, validation_set)
        )
        self.steps_per_epoch = self.input.steps_per_epoch
        self.total_steps = self.steps_per_epoch * hyperparameters.epochs
        check_parts(hyperparameters.batch_size, devices.num_replicas, hyperparameters.gradient_accumulation)
        only_top = hyperparameters.train_only_on_top_layer
        variables = trainable_variables_for(detector, only_top=only_top, frozen=hyperparameters.freeze_layer_pattern)
        with devices.strategy.scope():
            self.model = FineTuner(
                detector,
                variables,
                hyperparameters.regularizers_l2,
                seed=None if only_top else hyperparameters.seed,  # frozen parts do not vary from step to step
                ema_decay=hyperparameters.ema_decay,
                gradient_accumulation=hyperparameters.gradient_accumulation,
            )
            self.model.compile(build_optimizer(hyperparameters, self.total_steps))
        self.loop = Loop(self.model, devices)

    def train_step(self, batch: Batch, step: int, *, stop: bool = False, time_is_up: bool = False) -> StepOutcome:
        """Trains on a batch, that of `step`.

        Raises:
          TrainingError: a loss is not finite.
        """
        outcome = self.loop.step(batch, stop=stop, time_is_up=time_is_up)
        if not all(math.isfinite(value) for value in outcome.losses.values()):
            found = ", ".join(f"{name} {value}" for name, value in outcome.losses.items())
            raise errors.TrainingError(
                f"the loss is not a finite number at step {step} ({found}); learning rate "
                f"{self.learning_rate:.6g}; images of the batch: {', '.join(self.input.images_of_step(step))}. "
                "Lower learning_rate, or look at these images with tfod_transfer.inspect."
            )
        return outcome

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        return float(self.model.optimizer.learning_rate.numpy())

    def time_steps(self, steps: int) -> tuple[float, float]:
        """Runs some training steps and one validation; returns seconds for a step and for the validation.

        Raises:
          TrainingError: a loss is not finite.
        """
        with self.input.naming_files():
            batches = self.loop.batches(self.input, 0)
            self.train_step(next(batches), 0)  # traces
            step_seconds = _seconds(lambda: [self.train_step(next(batches), n) for n in range(steps)]) / steps
        return step_seconds, _seconds(self.validate)

    def validate(self, between: Callable[[], None] = lambda: None) -> tuple[Validation, ImageDetections]:
        """Losses, COCO metrics and detections of the validation images, with the weights as they are.

        Args:
          between: called between batches; may raise.

        Raises:
          TrainingError: a validation loss is not finite.
        """
        with self._validation_input.naming_files():
            outputs = self.loop.predict(self._validation_input, between)
        normalizer = max(float(np.sum(outputs["positives"])), 1.0)
        localization = float(np.sum(outputs["localization"])) / normalizer
        classification = float(np.sum(outputs["classification"])) / normalizer
        if not math.isfinite(localization + classification):
            raise errors.TrainingError(
                f"the validation loss is not a finite number (localization {localization}, classification "
                f"{classification}): training diverged. Lower learning_rate ({self.hyperparameters.learning_rate:g})."
            )
        detections = ImageDetections(outputs["boxes"], outputs["classes"], outputs["scores"])
        metrics = coco_metrics(self.validation_set, detections)
        return Validation(localization, classification, metrics, self._overlap_map(detections)), detections

    def _overlap_map(self, detections: ImageDetections) -> float | None:
        """The mAP at `overlap_threshold`, where it is what the run goes by."""
        if self.hyperparameters.objective != "mAP_overlap":
            return None
        return overlap_map(self.validation_set, detections, self.hyperparameters.overlap_threshold)

    def open_input(self) -> list[str]:
        """Makes what batches come from, which may take a while; returns lines on where decoded images are kept.

        Raises:
          DataError: an image file is missing or does not decode.
          UsageError: what is kept cannot be written.
        """
        self.input.train_batches()
        self._validation_input.eval_batches()
        places = zip(("training", "validation"), (self.input, self._validation_input), strict=True)
        return [f"images:     {name}: {text}" for name, each in places for text in each.cache_descriptions]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
