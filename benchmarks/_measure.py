"""What the benchmarks share."""

from __future__ import annotations

import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tfod_transfer.modeling.detector import Detector

Times = dict[str, list[float]]

BOXES, PADDED_BOXES = 15, 100
WARM_UPS = 2

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def shared(name: str) -> pathlib.Path:
    """A piece of reference data beside the repository; the benchmark ends where there is none."""
    path = SHARED / name
    if not path.exists():
        print(f"left out: needs {name} in a folder 'shared' beside the repository")
        sys.exit(0)
    return path


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `repeats` calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def alternate(functions: dict[str, Callable[[], object]], repeats: int) -> tuple[Times, Times]:
    """Wall and processor seconds of `repeats` calls of each, taking turns, after calls that do not count."""
    elapsed: Times = {name: [] for name in functions}
    processor: Times = {name: [] for name in functions}
    for turn in range(repeats + WARM_UPS):
        for name, function in functions.items():
            started, started_processor = time.perf_counter(), time.process_time()
            function()
            if turn >= WARM_UPS:
                elapsed[name].append(time.perf_counter() - started)
                processor[name].append(time.process_time() - started_processor)
    return elapsed, processor


def random_batch(size: int, batch_size: int, num_classes: int) -> dict[str, Any]:
    """Noise with BOXES boxes in each image, padded to PADDED_BOXES."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.8, (batch_size, PADDED_BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.03, 0.2, corner.shape)], axis=-1)
    classes = rng.integers(0, num_classes, (batch_size, PADDED_BOXES))
    classes[:, BOXES:] = -1
    return {
        "images": tf.constant(rng.integers(0, 256, (batch_size, size, size, 3)), tf.uint8),
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.constant(classes, tf.int32),
    }


def training_step(detector: Detector, batch: dict[str, Any]) -> Callable[[], object]:
    """A traced step: forward pass, targets, losses and gradients of a batch; no optimizer."""
    import tensorflow as tf

    from tfod_transfer.modeling import losses, matcher

    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            output = detector(batch["images"], training=True)
            targets = matcher.assign(batch["boxes"], batch["classes"], detector.anchors, detector.spec)
            sums = losses.detection_losses(output, targets, detector.spec)
            classification, localization = losses.normalized(sums, tf.reduce_sum(sums.positives))
            total = classification + localization + losses.regularization_loss(detector)
        return tape.gradient(total, detector.trainable_variables)

    concrete: Callable[[], object] = step.get_concrete_function()
    return concrete
