"""Which devices and hosts a run uses, and what they tell each other."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from tfod_transfer import errors
from tfod_transfer.cluster import ALONE, Cluster
from tfod_transfer.execution import Processor, processor_of_this_machine
from tfod_transfer.hyperparameters import Hyperparameters


def processor_in_use() -> Processor:
    """What TensorFlow computes on."""
    return processor_of_this_machine(gpu=bool(tf.config.list_logical_devices("GPU")))


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run.

    Attributes:
      strategy: TensorFlow's view of them.
      cluster: the processes that train together.
    """

    strategy: tf.distribute.Strategy
    cluster: Cluster = ALONE

    @property
    def num_replicas(self) -> int:
        """Devices over all hosts."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def local_replicas(self) -> int:
        """Devices of this host."""
        return self.num_replicas // self.cluster.num_hosts

    def __str__(self) -> str:
        if self.cluster.num_hosts > 1:
            return f"{self.cluster.num_hosts} hosts with {self.local_replicas} device(s) each"
        return f"{self.num_replicas} device" + ("s" if self.num_replicas > 1 else "")

    def agreed(self, value: float) -> float:
        """Returns the chief's value on every host; each has to call this at the same point of the run."""
        if self.cluster.num_hosts == 1:
            return value
        mine = value if self.cluster.is_chief else 0.0
        parts = self._on_first_device(np.array([mine], np.float64))
        return float(self.strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=0))

    def wait_for_all(self) -> None:
        """Waits until every host is here: one that leaves while others work is taken for lost."""
        self.agreed(0.0)

    def gathered(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns [N, ...] of all hosts together, from [n, ...] of each, host by host."""
        if self.cluster.num_hosts == 1:
            return array
        result: npt.NDArray[Any] = self.strategy.gather(self._on_first_device(array), axis=0).numpy()
        return result

    def _on_first_device(self, array: npt.NDArray[Any]) -> tf.distribute.DistributedValues:
        """This host's array on its first device, and empty ones on the others."""

        def part(context: tf.distribute.ValueContext) -> tf.Tensor:
            is_first = context.replica_id_in_sync_group % self.local_replicas == 0
            return tf.constant(array if is_first else array[:0])

        return self.strategy.experimental_distribute_values_from_function(part)


def find_devices(settings: Hyperparameters, cluster: Cluster) -> Devices:
    """Returns the devices of this run, after making TensorFlow deterministic if that is wanted.

    To be called before TensorFlow does anything else. With several hosts: a MultiWorkerMirroredStrategy; else a
    MirroredStrategy over all local GPUs; on a CPU, where there is one device, the default strategy. A MirroredStrategy
    of one CPU gives the same numbers, but reads its input through one more iterator; tf.data's tuner runs there, sleeps
    for 10 ms, 20 ms, 40 ms … up to a minute, and the end of each pass over data waits for it.

    Raises:
      UsageError: the global batch cannot be divided among the devices, or several hosts cannot do what is asked.
    """
    if settings.deterministic:
        tf_keras.utils.set_random_seed(settings.seed)
        tf.config.experimental.enable_op_determinism()
    if cluster.num_hosts > 1:
        if not settings.freeze_batch_norm:
            raise errors.UsageError(
                f"there are {cluster.num_hosts} hosts, and batch norm is trained on one only: "
                "keep freeze_batch_norm True, or use one host."
            )
        devices = Devices(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    else:
        gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
        devices = Devices(tf.distribute.MirroredStrategy(gpus) if gpus else tf.distribute.get_strategy())
    if settings.batch_size % devices.num_replicas:
        raise errors.UsageError(
            f"batch_size {settings.batch_size} is for all devices together and must be a multiple of their number, "
            f"{devices.num_replicas}."
        )
    return devices
