"""Steps on all devices: what is traced, how batches come in, how what validation finds comes out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.training.fine_tuner import FineTuner
from tfod_transfer.training.strategy import Devices

Batch = dict[str, tf.Tensor]
Arrays = dict[str, npt.NDArray[Any]]


class Batches(Protocol):
    """Where batches come from; see `data.pipeline.InputPipeline`."""

    def train_batches(self, start_step: int, *, shard: int, num_shards: int, num_parts: int) -> tf.data.Dataset: ...

    def eval_batches(self, *, shard: int, num_shards: int, num_parts: int) -> tf.data.Dataset: ...


class StepOutcome(NamedTuple):
    """Losses of the global batch, and whether any host wants to stop or has no time left."""

    losses: dict[str, float]
    stop: bool
    time_is_up: bool


class Loop:
    """Runs a `FineTuner` on devices; each of its two functions is traced once."""

    def __init__(self, model: FineTuner, devices: Devices) -> None:
        self._model = model
        self._devices = devices
        self.train_function = tf.function(self._train_everywhere, autograph=False)
        self.predict_function = tf.function(self._predict_everywhere, autograph=False)

    def batches(self, source: Batches, start_step: int) -> Iterator[Batch]:
        """The training batches from a step on, each divided among the devices."""
        devices = self._devices

        def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
            batches = source.train_batches(
                start_step,
                shard=devices.cluster.host,
                num_shards=devices.cluster.num_hosts,
                num_parts=devices.local_replicas,
            )
            # Of a data set whose end is not known, hosts would ask each other before each step whether it has come.
            return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        return iter(devices.strategy.distribute_datasets_from_function(of_host))

    def step(self, batch: Batch, *, stop: bool = False, time_is_up: bool = False) -> StepOutcome:
        """One training step, with what this host wants; every host learns of it."""
        losses, wishes = self.train_function(batch, tf.constant([stop, time_is_up], tf.float32))
        stop, time_is_up = (value > 0 for value in wishes.numpy())
        return StepOutcome({name: float(value) for name, value in losses.items()}, bool(stop), bool(time_is_up))

    def predict(self, source: Batches, between: Callable[[], None] = lambda: None) -> Arrays:
        """What `FineTuner.predict_step` gives for each image once, over all hosts, in the order of `image_ids`.

        Args:
          source: has the images.
          between: called before each batch; may raise.
        """
        devices = self._devices
        batches = iter(
            source.eval_batches(
                shard=devices.cluster.host, num_shards=devices.cluster.num_hosts, num_parts=devices.local_replicas
            )
        )
        found: list[Arrays] = []
        while parts := list(itertools.islice(batches, devices.local_replicas)):
            between()
            outputs = self.predict_function(self._distributed(parts))
            local = {name: devices.strategy.experimental_local_results(each) for name, each in outputs.items()}
            found.append({name: np.concatenate([part.numpy() for part in each]) for name, each in local.items()})
        arrays = {name: devices.gathered(np.concatenate([each[name] for each in found])) for name in found[0]}
        order = np.argsort(arrays["image_ids"], kind="stable")
        order = order[arrays["image_ids"][order] >= 0]  # the others filled up batches
        return {name: values[order] for name, values in arrays.items()}

    def _distributed(self, parts: list[Batch]) -> Batch:
        """A batch for each local device."""
        if len(parts) == 1 and self._devices.num_replicas == 1:
            return parts[0]
        return self._devices.strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group % self._devices.local_replicas]
        )

    def _train_everywhere(self, batch: Batch, wishes: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        def on_device(batch: Batch, wishes: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            replicas = tf.distribute.get_replica_context()
            wishes = tf.identity(wishes)  # an argument has no device, which the sum over hosts asks for
            return self._model.train_step(batch), replicas.all_reduce(tf.distribute.ReduceOp.SUM, wishes)

        results = self._devices.strategy.run(on_device, (batch, wishes))
        # The same on every device.
        return tf.nest.map_structure(lambda each: self._devices.strategy.experimental_local_results(each)[0], results)

    def _predict_everywhere(self, batch: Batch) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = self._devices.strategy.run(self._model.predict_step, (batch,))
        return outputs
