"""Which devices a run uses."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer import errors


def build_strategy(batch_size: int) -> tf.distribute.Strategy:
    """Returns a MirroredStrategy over all local GPUs, or over the one CPU.

    Raises:
      UsageError: the global batch cannot be divided among the devices.
    """
    gpus = tf.config.list_logical_devices("GPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in gpus] or ["/cpu:0"])
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise errors.UsageError(
            f"batch_size {batch_size} is for all devices together and must be a multiple of their number, {replicas}."
        )
    return strategy
