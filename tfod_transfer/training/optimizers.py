"""The optimizers that SageMaker documents, with the learning-rate schedule of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tfod_transfer.hyperparameters import Hyperparameters, run_shares


class RunSchedule(tf.Module, tf_keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up to the peak, then a cosine to 0, steps down, or no change, until the end of the run.

    With W = round(warmup_fraction * total_steps), step s < W has the rate peak * (1 + (W - 1) * s / W) / W. A later one
    has peak (constant), peak * (1 + cos(pi * min((s - W) / (total_steps - W), 1))) / 2 (cosine), or peak * decay ** n
    after n of the falls, each at round(share * total_steps) (step).

    Attributes:
      total_steps: int64 variable, the steps of the whole run. It may be set to another number at any time without a new
        trace, and checkpoints of an optimizer hold it.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        *,
        kind: str = "cosine",
        warmup_fraction: float = 0.0,
        shares: Sequence[float] = (),
        decay: float = 1.0,
    ) -> None:
        """Takes the highest rate, the steps of the run and what happens after the warm-up.

        Args:
          peak: highest rate.
          total_steps: steps of the whole run.
          kind: "cosine", "constant" or "step".
          warmup_fraction: share of the run in which the rate rises.
          shares: kind "step": shares of the run at which the rate falls.
          decay: kind "step": what it is then multiplied by.
        """
        super().__init__(name="run_schedule")
        self._settings: dict[str, Any] = {
            "peak": peak,
            "kind": kind,
            "warmup_fraction": warmup_fraction,
            "shares": tuple(shares),
            "decay": decay,
        }
        self.total_steps = tf.Variable(
            total_steps,
            dtype=tf.int64,
            trainable=False,
            name="total_steps",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the rate of a step, float32; computed in float64, so that shares of a run are whole steps."""
        settings = self._settings
        total = tf.cast(tf.maximum(self.total_steps, 1), tf.float64)
        now = tf.cast(step, tf.float64)
        warmup = tf.round(settings["warmup_fraction"] * total)
        factor = self._after_warmup(now, warmup, total)
        # From 0 the first step would teach nothing.
        rising = (1.0 + (warmup - 1.0) * now / tf.maximum(warmup, 1.0)) / tf.maximum(warmup, 1.0)
        return tf.cast(settings["peak"] * tf.where(now < warmup, rising, factor), tf.float32)

    def _after_warmup(self, now: tf.Tensor, warmup: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
        settings = self._settings
        if settings["kind"] == "cosine":
            progress = (now - warmup) / tf.maximum(total - warmup, 1.0)
            return 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(progress, 1.0)))
        factor = tf.ones_like(now)
        if settings["kind"] == "step":
            for share in settings["shares"]:
                factor = tf.where(now >= tf.round(share * total), factor * settings["decay"], factor)
        return factor

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule again."""
        return {**self._settings, "total_steps": int(self.total_steps.numpy())}


def build_schedule(hyperparameters: Hyperparameters, total_steps: int) -> RunSchedule:
    """The schedule of a run of `total_steps` steps."""
    return RunSchedule(
        hyperparameters.learning_rate,
        total_steps,
        kind=hyperparameters.learning_rate_schedule,
        warmup_fraction=hyperparameters.warmup_fraction,
        shares=run_shares(hyperparameters.learning_rate_steps),
        decay=hyperparameters.learning_rate_decay,
    )


def build_optimizer(hyperparameters: Hyperparameters, total_steps: int) -> tf_keras.optimizers.Optimizer:
    """Returns the optimizer that the hyperparameters name, with its own parameters and the run's schedule.

    It clips what it applies: the sum of all devices' gradients, which `FineTuner` hands to it.
    """
    h, rate = hyperparameters, build_schedule(hyperparameters, total_steps)
    optimizers = tf_keras.optimizers
    clip = {"global_clipnorm": h.gradient_clip_norm or None}
    return {
        "adam": lambda: optimizers.Adam(rate, beta_1=h.beta_1, beta_2=h.beta_2, epsilon=h.epsilon, **clip),
        "sgd": lambda: optimizers.SGD(rate, momentum=h.momentum, **clip),
        "nesterov": lambda: optimizers.SGD(rate, momentum=h.momentum, nesterov=True, **clip),
        "rmsprop": lambda: optimizers.RMSprop(rate, rho=h.rho, epsilon=h.epsilon, **clip),
        "adagrad": lambda: optimizers.Adagrad(rate, h.initial_accumulator_value, epsilon=h.epsilon, **clip),
        "adadelta": lambda: optimizers.Adadelta(rate, rho=h.rho, epsilon=h.epsilon, **clip),
    }[h.optimizer]()
