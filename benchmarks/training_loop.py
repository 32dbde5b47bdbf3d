"""The whole training loop, input included, against the bare step on one constant batch: the 320 model, batch 8.

    python benchmarks/training_loop.py [--rounds 3]

Alternates the two in one process and prints the ratio of their images/s (goal: at least 0.95) and images/s itself.
The TensorFlow Object Detection API's loop does 12.8 images/s on a quiet machine with two such cores.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator

from _measure import shared

from tfod_transfer import cli, cluster, hyperparameters, registry

STEPS = 26


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    data_folder = shared("data/bccd")
    cli.quiet_tensorflow()
    import tensorflow as tf

    from tfod_transfer.data import training_data
    from tfod_transfer.modeling.detector import build_detector
    from tfod_transfer.training.strategy import find_devices
    from tfod_transfer.training.trainer import Trainer

    spec = registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8")
    settings = hyperparameters.resolve({"batch_size": 8}, spec.defaults)
    data = training_data.read(str(data_folder / "train"), str(data_folder / "test"), settings)
    devices = find_devices(settings, cluster.ALONE)
    with devices.strategy.scope():
        detector = build_detector(spec, data.train.num_classes)
    trainer = Trainer(detector, data.train, data.validation, settings, devices)
    loop = trainer.loop.batches(trainer.input, 0)
    constant = itertools.repeat(next(loop))

    def images_per_second(batches: Iterator[dict[str, tf.Tensor]]) -> float:
        started = time.perf_counter()
        for step in range(STEPS):
            trainer.train_step(next(batches), step)
        return STEPS * settings.batch_size / (time.perf_counter() - started)

    for batches in (loop, constant):
        images_per_second(batches)  # traces, fills the cache
    pairs = [(images_per_second(loop), images_per_second(constant)) for _ in range(rounds)]
    whole, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"whole loop {whole:.1f} images/s, bare step {bare:.1f} images/s")
    print(f"ratio {statistics.median(a / b for a, b in pairs):.3f} (goal: at least 0.95)")


if __name__ == "__main__":
    main()
