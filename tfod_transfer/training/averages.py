"""Exponential moving averages of weights, which often detect better than the weights of the last step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


class MovingAverages(tf.Module):
    """Averages of variables, updated after each step: average -= (1 - d) * (average - variable).

    d is `decay`, and less in the beginning, min(decay, (1 + n) / (10 + n)) after step n, as tf.train's
    ExponentialMovingAverage has it. That one averages over all devices once more in each step, and checkpoints do not
    find its averages; the Model Garden's needs Keras's legacy optimizers.
    """

    def __init__(self, variables: Sequence[tf.Variable], decay: float) -> None:
        """Starts the averages at the values that `variables` have now."""
        super().__init__(name="moving_averages")
        self._averaged = list(variables)
        self._decay = decay
        self.averages = [tf.Variable(tf.identity(variable), trainable=False) for variable in variables]

    def update(self, steps: tf.Variable) -> None:
        """Takes in the variables' values; to be called by each replica once in a step.

        Args:
          steps: how many there were, with this one.
        """

        def update_all(strategy: tf.distribute.Strategy) -> None:
            n = tf.cast(steps, tf.float32)
            rest = 1.0 - tf.minimum(self._decay, (1.0 + n) / (10.0 + n))
            for average, variable in zip(self.averages, self._averaged, strict=True):
                strategy.extended.update(
                    average, lambda a, v, r: a.assign_sub(r * (a - v)), args=(variable, rest), group=False
                )

        tf.distribute.get_replica_context().merge_call(update_all)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the variables hold the averages; after it, bit for bit, what they held before."""
        held = [tf.identity(variable) for variable in self._averaged]
        try:
            for variable, average in zip(self._averaged, self.averages, strict=True):
                variable.assign(tf.identity(average))
            yield
        finally:
            for variable, value in zip(self._averaged, held, strict=True):
                variable.assign(value)
