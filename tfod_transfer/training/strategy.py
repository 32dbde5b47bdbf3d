"""Which devices a run uses."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.execution import Processor, processor_of_this_machine


def processor_in_use() -> Processor:
    """What TensorFlow computes on."""
    return processor_of_this_machine(gpu=bool(tf.config.list_logical_devices("GPU")))


def build_strategy(batch_size: int) -> tf.distribute.Strategy:
    """Returns a MirroredStrategy over all local GPUs; on a CPU, where there is one replica, the default strategy.

    A MirroredStrategy of one CPU gives the same numbers, but reads its input through one more iterator; tf.data's tuner
    runs there, sleeps for 10 ms, 20 ms, 40 ms … up to a minute, and the end of each `fit` and `predict` waits for it.

    Raises:
      UsageError: the global batch cannot be divided among the devices.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return tf.distribute.get_strategy()
    if batch_size % len(gpus):
        raise errors.UsageError(
            f"batch_size {batch_size} is for all devices together and must be a multiple of their number, {len(gpus)}."
        )
    return tf.distribute.MirroredStrategy([device.name for device in gpus])
