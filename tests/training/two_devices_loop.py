"""Trains and validates through a Loop on one device and on two, in a process whose CPU is two; prints JSON."""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile
from typing import Any

import noisy_images
import tensorflow as tf
from tiny_detector import TinyDetector, settings_for, weights

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.pipeline import InputPipeline
from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics
from tfod_transfer.training.strategy import Devices
from tfod_transfer.training.trainer import Trainer

NUM_IMAGES, BATCH_SIZE = 6, 4
STEPS = 5  # of three epochs, each of which ends in the middle of a batch


def main() -> None:
    """Takes a JSON list with the numbers of images to validate on."""
    counts = json.loads(sys.argv[1])
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with tempfile.TemporaryDirectory() as folder:
        images = noisy_images.write(pathlib.Path(folder), NUM_IMAGES + max(counts))
        strategies = (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
        print(json.dumps([outcome(Devices(strategy), images, counts) for strategy in strategies]))


def outcome(devices: Devices, images: DetectionDataset, counts: list[int]) -> dict[str, Any]:
    """Losses of each step, the weights after them, what each validation finds, and how often each part was traced."""
    settings = settings_for(batch_size=BATCH_SIZE, augmentation="none", gradient_clip_norm=0.5)
    with devices.strategy.scope():
        detector: Any = TinyDetector()
    train = images.select(range(NUM_IMAGES))
    trainer = Trainer(detector, train, train, settings, devices)
    batches = trainer.loop.batches(trainer.input, 0)
    losses = [trainer.train_step(next(batches), step).losses for step in range(STEPS)]
    validations = []
    for count in counts:
        dataset = images.select(range(NUM_IMAGES, NUM_IMAGES + count))
        found = trainer.loop.predict(InputPipeline(dataset, detector.spec, settings))
        metrics = coco_metrics(dataset, ImageDetections(found["boxes"], found["classes"], found["scores"]))
        validations.append({**{name: values.tolist() for name, values in found.items()}, "metrics": metrics.summary})
    functions = (trainer.loop.train_function, trainer.loop.predict_function)
    return {
        "losses": losses,
        "weights": weights(trainer.model).tolist(),
        "validations": validations,
        "traces": [function.experimental_get_tracing_count() for function in functions],
    }


if __name__ == "__main__":
    main()
