"""Trains on one device and on two, in a process whose CPU is two logical devices; prints what came out as JSON."""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf
from tiny_detector import TinyDetector, averages, batch_of, tiny_fine_tuner, weights

from tfod_transfer.training.fine_tuner import Batch

STEPS = 4


def main() -> None:
    """Takes a JSON list with the keywords of `tiny_fine_tuner` for each pair of runs."""
    cases = json.loads(sys.argv[1])
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two_devices = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one_device = tf.distribute.get_strategy()
    print(json.dumps([[outcome(strategy, given) for strategy in (one_device, two_devices)] for given in cases]))


def outcome(strategy: tf.distribute.Strategy, given: dict[str, object]) -> dict[str, object]:
    """Losses of each step, weights, averages, the number of traces, and how frozen and trained statistics are kept."""
    with strategy.scope():
        model, trained = tiny_fine_tuner(**given), TinyDetector(freeze_batch_norm=False)

    @tf.function
    def step(batch: Batch) -> dict[str, tf.Tensor]:
        return strategy.run(model.train_step, args=(batch,))

    losses = []
    for number in range(STEPS):
        # Losses are those of the global batch on every device.
        reported = step(shares(batch_of(number), strategy))
        losses.append(
            {name: [float(x) for x in strategy.experimental_local_results(y)] for name, y in reported.items()}
        )
    return {
        "losses": losses,
        "weights": weights(model).tolist(),
        "averages": averages(model).tolist(),
        "weights_after": weights(model).tolist(),
        "traces": step.experimental_get_tracing_count(),
        "statistics": [each.norm.moving_mean.synchronization.name for each in (model.detector, trained)],
    }


def shares(batch: dict[str, np.ndarray], strategy: tf.distribute.Strategy) -> Batch:
    """The images of a batch, dealt out to the devices in order."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batch
    return {
        name: strategy.experimental_distribute_values_from_function(
            lambda context, values=values: tf.constant(np.split(values, replicas)[context.replica_id_in_sync_group])
        )
        for name, values in batch.items()
    }


if __name__ == "__main__":
    main()
