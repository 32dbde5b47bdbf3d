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


def warnings(
    spec: ModelSpec, processor: Processor, precision: str, batch_size: int, gradient_accumulation: int = 1
) -> list[str]:
    """A sentence when a CPU has too little free memory for a step, with what fits; else nothing.

    Args:
      spec: the model.
      processor: what computes the step; only of a CPU it is known how much memory it has.
      precision: number format of the step.
      batch_size: images in a step.
      gradient_accumulation: parts in which they are computed, one after the other.
    """
    if processor.kind == "gpu":  # has memory of its own
        return []
    part = batch_size // gradient_accumulation
    needed = step_bytes(spec, precision, part)
    free = available_memory() + psutil.Process().memory_info().rss
    if needed is None or needed <= free:
        return []
    fitting = max((size for size in range(1, part) if (step_bytes(spec, precision, size) or 0) <= free), default=0)
    at_a_time = "" if gradient_accumulation == 1 else f", {part} at a time,"
    return [
        f"warning:    a training step on {batch_size} images{at_a_time} takes about {needed / _GIGABYTE:.1f} GB, "
        f"{free / _GIGABYTE:.1f} GB are free; {_advice(batch_size, fitting, gradient_accumulation)}"
    ]


def _advice(batch_size: int, fitting: int, parts: int) -> str:
    """What to change where `fitting` images at a time fit."""
    if not fitting:
        return "not even a batch of 1 fits: choose a smaller model"
    divisors = (number for number in range(parts + 1, batch_size + 1) if not batch_size % number)
    fewest = next(number for number in divisors if batch_size // number <= fitting)
    return f"--gradient_accumulation {fewest} takes them in parts that fit, or --batch_size {fitting * parts} fits"
