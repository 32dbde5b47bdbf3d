"""The optimizers that SageMaker documents, with the learning-rate schedule of a run."""

from __future__ import annotations

import tf_keras

from tfod_transfer.hyperparameters import Hyperparameters


def build_schedule(
    hyperparameters: Hyperparameters, total_steps: int
) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to the learning rate, then a cosine to 0 (or no change), over `total_steps` steps."""
    peak = hyperparameters.learning_rate
    warmup_steps = round(hyperparameters.warmup_fraction * total_steps)
    if warmup_steps == 0:
        return tf_keras.optimizers.schedules.CosineDecay(peak, max(total_steps, 1), alpha=_floor(hyperparameters))
    return tf_keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / warmup_steps,  # from 0 the first step would teach nothing
        decay_steps=max(total_steps - warmup_steps, 1),
        alpha=_floor(hyperparameters),
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )


def _floor(hyperparameters: Hyperparameters) -> float:
    """The end of the cosine as a share of its start: 1 makes it constant."""
    return 1.0 if hyperparameters.learning_rate_schedule == "constant" else 0.0


def build_optimizer(hyperparameters: Hyperparameters, total_steps: int) -> tf_keras.optimizers.Optimizer:
    """Returns the optimizer that the hyperparameters name, with its own parameters and the run's schedule."""
    h, rate = hyperparameters, build_schedule(hyperparameters, total_steps)
    optimizers = tf_keras.optimizers
    return {
        "adam": lambda: optimizers.Adam(rate, beta_1=h.beta_1, beta_2=h.beta_2, epsilon=h.epsilon),
        "sgd": lambda: optimizers.SGD(rate, momentum=h.momentum),
        "nesterov": lambda: optimizers.SGD(rate, momentum=h.momentum, nesterov=True),
        "rmsprop": lambda: optimizers.RMSprop(rate, rho=h.rho, epsilon=h.epsilon),
        "adagrad": lambda: optimizers.Adagrad(rate, h.initial_accumulator_value, epsilon=h.epsilon),
        "adadelta": lambda: optimizers.Adadelta(rate, rho=h.rho, epsilon=h.epsilon),
    }[h.optimizer]()
