"""The Keras model that `fit` trains: a detector, its targets and its losses in one step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
import tf_keras

from tfod_transfer import errors
from tfod_transfer.data import resize
from tfod_transfer.modeling import matcher, postprocessing
from tfod_transfer.modeling.detector import Detector, DetectorOutput, FrozenPart
from tfod_transfer.modeling.losses import detection_losses, normalized, regularization_loss
from tfod_transfer.modeling.matcher import Targets
from tfod_transfer.training.averages import MovingAverages

# Keras starts at 32768, and a short run would lose its first steps to finding out that this is too much.
INITIAL_LOSS_SCALE = 1024

LOSSES = ("loss", "localization", "classification")  # of a step; "loss" has the regularisation in it

Batch = Mapping[str, Any]
Inputs: TypeAlias = "tf.Tensor | FrozenPart"
Examples: TypeAlias = "tuple[Inputs, Targets]"
GradientsAndLosses = tuple[list[tf.Tensor], dict[str, tf.Tensor]]


class FineTuner(tf_keras.Model):
    """Trains chosen variables of a detector; `predict` gives detections and losses for each image.

    The losses of a step are sums over its images divided by the number of positive anchors in the *global* batch, so
    that neither the number of devices nor of the parts that each device takes one after the other changes them, nor
    the gradients. Trained batch norm and stochastic depth do see the parts: the one takes its statistics of each, the
    other draws for each.
    """

    def __init__(
        self,
        detector: Detector,
        variables: Sequence[tf.Variable],
        l2: float | None,
        *,
        seed: int | None,
        ema_decay: float = 0.0,
        gradient_accumulation: int = 1,
    ) -> None:
        """Takes what to train, and how.

        Args:
          detector: the detector, with the weights that training starts from.
          variables: those of its variables that training changes.
          l2: a coefficient in place of the model's own; None for these.
          seed: decides, with the number of the step, the stochastic depth of a detector that has it; None: there is
            none, as when the class layers alone train and the backbone is to be the same function in every step.
          ema_decay: of the moving averages of the variables; 0: none are kept.
          gradient_accumulation: parts of a device's batch that are computed one after the other; see `check_parts`.
        """
        super().__init__(name="fine_tuner")
        self.detector = detector
        self._trained = list(variables)
        self._l2 = l2
        self._seed = seed
        self._parts = gradient_accumulation
        self._averages = MovingAverages(self._trained, ema_decay) if ema_decay else None

    def compile(self, optimizer: tf_keras.optimizers.Optimizer) -> None:
        """Takes an optimizer of `build_optimizer`.

        Its variables are made here: made in the first step, they would cost a second trace.
        """
        optimizer.build(self._trained)
        self._schedule = optimizer._learning_rate  # `learning_rate` is a variable with the current one
        self._scales_loss = self.detector.execution.dtype == tf.float16
        if self._scales_loss:  # small gradients would be zero in float16
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=INITIAL_LOSS_SCALE)
        super().compile(optimizer=optimizer)

    def set_total_steps(self, steps: int) -> None:
        """Moves the end of the run, by which the learning rate goes; costs no new trace."""
        self._schedule.total_steps.assign(steps)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the detector has the moving averages, if any are kept; no step or checkpoint belongs there.

        After it every weight is, bit for bit, what it was.
        """
        with self._averages.in_place() if self._averages else contextlib.nullcontext():
            yield

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """One step on a batch; returns the losses of the global batch.

        A step whose gradients overflow in float16 changes no weight, but it counts, and the moving averages take the
        unchanged weights in.
        """
        replicas = tf.distribute.get_replica_context()
        targets = self._targets(batch)
        positives = replicas.all_reduce(
            tf.distribute.ReduceOp.SUM, tf.reduce_sum(tf.cast(targets.matches >= 0, tf.float32))
        )
        gradients, losses = self._differentiate_parts((_inputs(batch), targets), positives)
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        # All devices' gradients are summed here, and then clipped.
        self.optimizer.apply_gradients(zip(gradients, self._trained, strict=True))
        if self._averages:
            self._averages.update(self.optimizer.iterations)
        return replicas.all_reduce(tf.distribute.ReduceOp.SUM, losses)

    def _differentiate_parts(self, examples: Examples, positives: tf.Tensor) -> GradientsAndLosses:
        """The sums of `_differentiate` over the parts of a device's batch, never two of them at a time."""
        if self._parts == 1:
            return self._differentiate(examples, positives, self._noise_seed())
        parts = tf.nest.map_structure(lambda x: tf.reshape(x, [self._parts, -1, *x.shape[1:]]), examples)

        def add_part(part: tf.Tensor, sums: GradientsAndLosses) -> tuple[tf.Tensor, GradientsAndLosses]:
            chosen = tf.nest.map_structure(lambda x: x[part], parts)
            seed = None if self._seed is None else tf.random.fold_in(self._noise_seed(), part)
            return part + 1, tf.nest.map_structure(tf.add, sums, self._differentiate(chosen, positives, seed))

        zeros = [tf.zeros_like(variable) for variable in self._trained], dict.fromkeys(LOSSES, tf.constant(0.0))
        _, sums = tf.while_loop(
            lambda part, _: part < self._parts, add_part, (tf.constant(0), zeros), parallel_iterations=1
        )
        return sums

    def _differentiate(
        self, examples: Examples, positives: tf.Tensor, noise_seed: tf.Tensor | None
    ) -> GradientsAndLosses:
        """Gradients of a part of the global batch, and its share of the losses."""
        inputs, targets = examples
        shares = tf.distribute.get_replica_context().num_replicas_in_sync * self._parts
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._trained)
            outputs = self._detect(inputs, training=True, noise_seed=noise_seed)
            losses = detection_losses(outputs, targets, self.detector.spec)
            classification, localization = normalized(losses, positives)
            total = localization + classification + regularization_loss(self.detector, self._l2) / shares
            differentiated = self.optimizer.get_scaled_loss(total) if self._scales_loss else total
        gradients = tape.gradient(differentiated, self._trained)
        return gradients, dict(zip(LOSSES, (total, localization, classification), strict=True))

    def predict_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Detections, relative to the photographs, and losses for each image of a batch."""
        outputs = self._detect(_inputs(batch), training=False)
        spec = self.detector.spec
        windows = resize.windows(batch["original_sizes"], spec)
        detections = postprocessing.detect(
            outputs, self.detector.anchors, spec, windows=windows, **spec.detection.to_dict()
        )
        return {
            "image_ids": batch["image_ids"],
            "boxes": detections.boxes,
            "classes": detections.classes,
            "scores": detections.scores,
            **detection_losses(outputs, self._targets(batch), spec)._asdict(),
        }

    def _noise_seed(self) -> tf.Tensor | None:
        """Returns int [2], another one for each step and device; a run that resumes goes on with its own."""
        if self._seed is None:
            return None
        step = tf.stack([tf.constant(self._seed, tf.int64), tf.cast(self.optimizer.iterations, tf.int64)])
        return tf.random.fold_in(step, tf.distribute.get_replica_context().replica_id_in_sync_group)

    def _targets(self, batch: Batch) -> Targets:
        return matcher.assign(batch["boxes"], batch["classes"], self.detector.anchors, self.detector.spec)

    def _detect(self, inputs: Inputs, *, training: bool, noise_seed: tf.Tensor | None = None) -> DetectorOutput:
        if isinstance(inputs, FrozenPart):
            return self.detector.finish(inputs)
        return self.detector(inputs, training=training, noise_seed=noise_seed)


def check_parts(batch_size: int, num_devices: int, gradient_accumulation: int) -> None:
    """Checks that each device can cut its share of the batch into equal parts.

    Raises:
      UsageError: it cannot.
    """
    if batch_size % (num_devices * gradient_accumulation):
        devices = "" if num_devices == 1 else f" on {num_devices} devices"
        raise errors.UsageError(
            f"batch_size {batch_size} cannot be computed in {gradient_accumulation} equal parts "
            f"(gradient_accumulation){devices}. Choose a multiple of {num_devices * gradient_accumulation}."
        )


def _inputs(batch: Batch) -> Inputs:
    return batch["features"] if "features" in batch else batch["images"]
