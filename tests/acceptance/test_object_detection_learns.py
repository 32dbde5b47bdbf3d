"""SageMaker's SSD learns blood cells from random weights, at a quarter of the width so that it takes minutes."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import pytest

from tfod_transfer import fit, registry

pytestmark = pytest.mark.acceptance
EPOCHS = 4
# Seed 0 had .26 after its third epoch.
FLOOR = 0.1


def test_from_random_weights(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = registry.load_registry().get("object-detection-ssd-resnet-50")
    thin = dataclasses.replace(spec, structure=dataclasses.replace(spec.structure, depth_multiplier=0.25))
    monkeypatch.setattr(registry, "load_registry", lambda: registry.Registry([thin]))
    cells = shared("data/bccd")
    asked = {
        "base_network": "resnet-50", "use_pretrained_model": "0", "mini_batch_size": "8", "epochs": str(EPOCHS),
        "optimizer": "adam", "learning_rate": "0.001", "augmentation": "none",
    }  # fmt: skip
    fit.fit(
        fit.FitOptions(
            model_id=None,
            model_dir=str(tmp_path / "model"),
            training=str(cells / "train"),
            validation=str(cells / "validation"),
            hyperparameters=asked,
        )
    )
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    losses = [epoch["loss"] for epoch in metrics["history"]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2
    assert metrics["before"]["AP50"] < 0.01
    assert metrics["AP50"] > FLOOR
