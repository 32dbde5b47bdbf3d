from __future__ import annotations

import dataclasses
import re
import types

import pytest

from tfod_transfer import registry
from tfod_transfer.execution import Processor
from tfod_transfer.training import memory

FPNLITE = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
MEASURED = {"float32": (1.0, 2.0), "bfloat16": (1.0, 1.0)}


@pytest.mark.parametrize(
    ("measured", "precision", "batch_size", "parts", "free", "words"),
    [
        pytest.param(MEASURED, "float32", 4, 1, 9.5, None, id="fits"),
        pytest.param(
            MEASURED, "float32", 8, 1, 9.5,
            "step on 8 images takes about 17.0 GB, 9.5 GB are free; "
            "--gradient_accumulation 2 takes them in parts that fit, or --batch_size 4 fits",
            id="too much",
        ),
        pytest.param(
            MEASURED, "float32", 6, 1, 9.5, "--gradient_accumulation 2 takes them in parts that fit, or --batch_size 4",
            id="parts smaller than the batch that would fit",
        ),
        pytest.param(MEASURED, "float32", 7, 1, 9.5, "--gradient_accumulation 7 takes", id="a prime: one by one"),
        pytest.param(MEASURED, "float32", 8, 2, 9.5, None, id="fits in parts"),
        pytest.param(
            MEASURED, "float32", 12, 2, 8.5,
            "step on 12 images, 6 at a time, takes about 13.0 GB, 8.5 GB are free; "
            "--gradient_accumulation 4 takes them in parts that fit, or --batch_size 6 fits",
            id="too much in these parts",
        ),
        pytest.param(MEASURED, "bfloat16", 8, 1, 9.5, None, id="half as much"),
        pytest.param(MEASURED, "float16", 8, 1, 9.5, "or --batch_size 4 fits", id="not measured, as float32"),
        pytest.param(MEASURED, "float32", 1, 1, 2.5, "not even a batch of 1 fits: choose a smaller model", id="none"),
        pytest.param({}, "float32", 999, 1, 0.1, None, id="model not measured"),
    ],
)  # fmt: skip
def test_too_little_memory_is_told(
    measured: dict[str, tuple[float, float]],
    precision: str,
    batch_size: int,
    parts: int,
    free: float,
    words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = dataclasses.replace(registry.load_registry().get(FPNLITE), step_memory=measured)
    # Nothing is held yet: what the process grows by meanwhile would count as free.
    monkeypatch.setattr(memory, "available_memory", lambda: free * 2**30)
    monkeypatch.setattr(memory.psutil.Process, "memory_info", lambda self: types.SimpleNamespace(rss=0))
    found = memory.warnings(spec, Processor("cpu", "", True), precision, batch_size, parts)
    assert found == [] if words is None else words in found[0]
    assert memory.warnings(spec, Processor("gpu", "", True), precision, batch_size, parts) == []


@pytest.mark.parametrize("batch_size", range(2, 25))
@pytest.mark.parametrize("free", [3.5, 7.5])
def test_what_is_advised_fits(batch_size: int, free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(registry.load_registry().get(FPNLITE), step_memory=MEASURED)
    monkeypatch.setattr(memory, "available_memory", lambda: free * 2**30)
    monkeypatch.setattr(memory.psutil.Process, "memory_info", lambda self: types.SimpleNamespace(rss=0))
    processor = Processor("cpu", "", True)
    for line in memory.warnings(spec, processor, "float32", batch_size):
        flags = re.findall(r"--(gradient_accumulation|batch_size) (\d+)", line)
        advised = {name: int(value) for name, value in flags}
        assert batch_size % advised["gradient_accumulation"] == 0
        assert memory.warnings(spec, processor, "float32", batch_size, advised["gradient_accumulation"]) == []
        assert memory.warnings(spec, processor, "float32", advised["batch_size"]) == []
        assert memory.warnings(spec, processor, "float32", advised["batch_size"] + 1) != []
