"""The Keras model that `fit` trains: a detector, its targets and its losses in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
import tf_keras

from tfod_transfer.data import resize
from tfod_transfer.modeling import matcher, postprocessing
from tfod_transfer.modeling.detector import Detector, DetectorOutput
from tfod_transfer.modeling.losses import DetectionLosses, detection_losses, normalized, regularization_loss

# Keras starts at 32768, and a short run would lose its first steps to finding out that this is too much.
INITIAL_LOSS_SCALE = 1024

Batch = Mapping[str, tf.Tensor]


class FineTuner(tf_keras.Model):
    """Trains chosen variables of a detector; `predict` gives detections and losses for each image.

    The losses of a step are sums over its images divided by the number of positive anchors in the *global* batch, so
    that the number of devices does not change them.
    """

    def __init__(self, detector: Detector, variables: Sequence[tf.Variable], l2: float | None, *, seed: int) -> None:
        """Takes what to train, and how.

        Args:
          detector: the detector.
          variables: those of its variables that training changes.
          l2: a coefficient in place of the model's own; None for these.
          seed: decides, with the number of the step, the stochastic depth of a detector that has it.
        """
        super().__init__(name="fine_tuner")
        self.detector = detector
        self._trained = list(variables)
        self._l2 = l2
        self._seed = seed

    def compile(self, optimizer: tf_keras.optimizers.Optimizer) -> None:
        """Takes the optimizer, and makes its variables here: made in the first step, they would cost a second trace."""
        optimizer.build(self._trained)
        self._scales_loss = self.detector.execution.dtype == tf.float16
        if self._scales_loss:  # small gradients would be zero in float16
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer, initial_scale=INITIAL_LOSS_SCALE)
        super().compile(optimizer=optimizer)

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """One step on a batch; returns the losses of the global batch."""
        replicas = tf.distribute.get_replica_context()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._trained)
            outputs = self.detector(batch["images"], training=True, noise_seed=self._noise_seed())
            losses = self._compare(outputs, batch)
            positives = replicas.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(losses.positives))
            classification, localization = normalized(losses, positives)
            regularization = regularization_loss(self.detector, self._l2) / replicas.num_replicas_in_sync
            total = localization + classification + regularization
            differentiated = self.optimizer.get_scaled_loss(total) if self._scales_loss else total
        gradients = tape.gradient(differentiated, self._trained)
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        self.optimizer.apply_gradients(zip(gradients, self._trained, strict=True))
        reported = {"loss": total, "localization": localization, "classification": classification}
        return replicas.all_reduce(tf.distribute.ReduceOp.SUM, reported)

    def predict_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Detections, relative to the photographs, and losses for each image of a batch."""
        outputs = self.detector(batch["images"], training=False)
        spec = self.detector.spec
        windows = resize.windows(batch["original_sizes"], spec)
        detections = postprocessing.detect(outputs, self.detector.anchors, spec, windows=windows)
        return {
            "image_ids": batch["image_ids"],
            "boxes": detections.boxes,
            "classes": detections.classes,
            "scores": detections.scores,
            **self._compare(outputs, batch)._asdict(),
        }

    def _noise_seed(self) -> tf.Tensor:
        """Returns int [2], another one for each step and device; a run that resumes goes on with its own."""
        step = tf.stack([tf.constant(self._seed, tf.int64), tf.cast(self.optimizer.iterations, tf.int64)])
        return tf.random.fold_in(step, tf.distribute.get_replica_context().replica_id_in_sync_group)

    def _compare(self, outputs: DetectorOutput, batch: Batch) -> DetectionLosses:
        spec = self.detector.spec
        targets = matcher.assign(batch["boxes"], batch["classes"], self.detector.anchors, spec)
        return detection_losses(outputs, targets, spec)
