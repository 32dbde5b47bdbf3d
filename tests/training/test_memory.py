from __future__ import annotations

import dataclasses

import pytest

from tfod_transfer import registry
from tfod_transfer.execution import Processor
from tfod_transfer.training import memory

FPNLITE = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
MEASURED = {"float32": (1.0, 2.0), "bfloat16": (1.0, 1.0)}


@pytest.mark.parametrize(
    ("measured", "precision", "batch_size", "free", "words"),
    [
        pytest.param(MEASURED, "float32", 4, 9.5, None, id="fits"),
        pytest.param(MEASURED, "float32", 8, 9.5, "about 17.0 GB, 9.5 GB are free; --batch_size 4 fits", id="too much"),
        pytest.param(MEASURED, "bfloat16", 8, 9.5, None, id="half as much"),
        pytest.param(MEASURED, "float16", 8, 9.5, "--batch_size 4 fits", id="not measured, as float32"),
        pytest.param(MEASURED, "float32", 1, 2.5, "not even a batch of 1 fits: choose a smaller model", id="nothing"),
        pytest.param({}, "float32", 999, 0.1, None, id="model not measured"),
    ],
)
def test_too_little_memory_is_told(
    measured: dict[str, tuple[float, float]],
    precision: str,
    batch_size: int,
    free: float,
    words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = dataclasses.replace(registry.load_registry().get(FPNLITE), step_memory=measured)
    used = memory.psutil.Process().memory_info().rss
    monkeypatch.setattr(memory, "available_memory", lambda: free * 2**30 - used)
    found = memory.warnings(spec, Processor("cpu", "", True), precision, batch_size)
    assert found == [] if words is None else words in found[0]
    assert memory.warnings(spec, Processor("gpu", "", True), precision, batch_size) == []
