"""Whether a training step fits in the machine's memory: told before it starts, from what was measured of each model."""

from __future__ import annotations

import psutil

from tfod_transfer.data.cache import available_memory
from tfod_transfer.execution import Processor
from tfod_transfer.registry import ModelSpec

_GIGABYTE = 2**30


def step_bytes(spec: ModelSpec, precision: str, batch_size: int) -> int | None:
    """What a process that trains on batches of this size takes on a CPU; None where it was not measured.

    A precision that was not measured counts as float32, which takes the most.
    """
    measured = spec.step_memory.get(precision, spec.step_memory.get("float32"))
    if measured is None:
        return None
    fixed, per_image = measured
    return round((fixed + per_image * batch_size) * _GIGABYTE)


def warnings(spec: ModelSpec, processor: Processor, precision: str, batch_size: int) -> list[str]:
    """A sentence when a CPU has too little free memory for a step, with the batch size that fits; else nothing."""
    if processor.kind == "gpu":  # has memory of its own
        return []
    needed = step_bytes(spec, precision, batch_size)
    free = available_memory() + psutil.Process().memory_info().rss
    if needed is None or needed <= free:
        return []
    fitting = max(
        (size for size in range(1, batch_size) if (step_bytes(spec, precision, size) or 0) <= free), default=0
    )
    advice = f"--batch_size {fitting} fits" if fitting else "not even a batch of 1 fits: choose a smaller model"
    return [
        f"warning:    a training step on {batch_size} images takes about {needed / _GIGABYTE:.1f} GB, "
        f"{free / _GIGABYTE:.1f} GB are free; {advice}"
    ]
