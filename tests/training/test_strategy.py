from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfod_transfer import errors, hyperparameters
from tfod_transfer.cluster import ALONE, Cluster
from tfod_transfer.training.strategy import find_devices


def test_one_device_on_a_cpu() -> None:
    devices = find_devices(hyperparameters.resolve({"batch_size": 3}), ALONE)
    assert (devices.num_replicas, devices.local_replicas, str(devices)) == (1, 1, "1 device")
    assert devices.agreed(1.5) == 1.5
    assert devices.gathered(np.arange(3)).tolist() == [0, 1, 2]


def test_the_global_batch_must_divide_among_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [tf.config.LogicalDevice(f"/device:GPU:{i}", "GPU") for i in range(2)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: two)
    with pytest.raises(errors.UsageError, match="multiple of their number, 2"):
        find_devices(hyperparameters.resolve({"batch_size": 3}), ALONE)


def test_several_hosts_do_not_train_batch_norm() -> None:
    settings = hyperparameters.resolve({"freeze_batch_norm": False})
    with pytest.raises(errors.UsageError, match="2 hosts"):
        find_devices(settings, Cluster(2, 0))
