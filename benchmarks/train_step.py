"""How much a training step gains from folding the frozen batch norm into the convolutions.

    python benchmarks/train_step.py [--model_id ID] [--batch_size 8] [--steps 20]

A step is forward pass, targets, losses and gradients of one constant batch, without optimizer and input. The policies
take turns, so that other load on the machine slows both; processor seconds, of all threads, suffer least from it.
`network` is the folded step without targets and losses.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow as tf

from tfod_transfer import registry
from tfod_transfer.modeling import losses, matcher
from tfod_transfer.modeling.detector import Detector, build_detector
from tfod_transfer.modeling.layers import BatchNormPolicy, Execution

Times = dict[str, list[float]]

NUM_CLASSES, BOXES, PADDED_BOXES = 3, 15, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_id", default="tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    spec = registry.load_registry().get(arguments.model_id)
    batch = random_batch(spec.input_size, arguments.batch_size)
    policies: tuple[BatchNormPolicy, ...] = ("fused", "folded")
    detectors = {
        policy: build_detector(spec, NUM_CLASSES, execution=Execution(batch_norm=policy)) for policy in policies
    }
    steps = {policy: training_step(detector, batch) for policy, detector in detectors.items()}
    steps["network"] = network_step(detectors["folded"], batch["images"])
    elapsed, processor = alternate(steps, arguments.steps)

    print(f"{arguments.model_id}, batch {arguments.batch_size}, {arguments.steps} steps")
    print(f"{'':<8}{'median s':>10}{'least s':>10}{'images/s':>10}{'processor s':>13}")
    for name, times in elapsed.items():
        median = statistics.median(times)
        rate = arguments.batch_size / median
        print(f"{name:<8}{median:>10.3f}{min(times):>10.3f}{rate:>10.1f}{statistics.median(processor[name]):>13.3f}")
    for name in ("fused", "network"):
        print(f"{name} / folded: {ratio(elapsed, name):.2f}, of processor seconds {ratio(processor, name):.2f}")


def ratio(times: Times, name: str) -> float:
    """Median of what `name` took over what "folded" took in the same turn."""
    return statistics.median(a / b for a, b in zip(times[name], times["folded"], strict=True))


def random_batch(size: int, batch_size: int) -> dict[str, tf.Tensor]:
    """Noise with BOXES boxes in each image, padded to PADDED_BOXES."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.8, (batch_size, PADDED_BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.03, 0.2, corner.shape)], axis=-1)
    classes = rng.integers(0, NUM_CLASSES, (batch_size, PADDED_BOXES))
    classes[:, BOXES:] = -1
    return {
        "images": tf.constant(rng.integers(0, 256, (batch_size, size, size, 3)), tf.uint8),
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.constant(classes, tf.int32),
    }


def training_step(detector: Detector, batch: dict[str, tf.Tensor]) -> Callable[[], Any]:
    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            output = detector(batch["images"], training=True)
            targets = matcher.assign(batch["boxes"], batch["classes"], detector.anchors, detector.spec)
            sums = losses.detection_losses(output, targets, detector.spec)
            classification, localization = losses.normalized(sums, tf.reduce_sum(sums.positives))
            total = classification + localization + losses.regularization_loss(detector)
        return tape.gradient(total, detector.trainable_variables)

    return step


def network_step(detector: Detector, images: tf.Tensor) -> Callable[[], Any]:
    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            output = detector(images, training=True)
            total = tf.reduce_sum(output.box_encodings) + tf.reduce_sum(output.class_logits)
        return tape.gradient(total, detector.trainable_variables)

    return step


def alternate(steps: dict[str, Callable[[], Any]], count: int) -> tuple[Times, Times]:
    """Elapsed and processor seconds of `count` runs of each, taking turns, after two runs that trace and warm up."""
    elapsed: Times = {name: [] for name in steps}
    processor: Times = {name: [] for name in steps}
    for turn in range(count + 2):
        for name, step in steps.items():
            started, started_processor = time.perf_counter(), time.process_time()
            step()
            if turn >= 2:
                elapsed[name].append(time.perf_counter() - started)
                processor[name].append(time.process_time() - started_processor)
    return elapsed, processor


if __name__ == "__main__":
    main()
