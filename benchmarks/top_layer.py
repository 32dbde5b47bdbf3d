"""Epochs a minute when the class head alone trains, features kept against computed anew: the 320 model, blood cells.

    python benchmarks/top_layer.py [--rounds 5] [--batch_size 8]

An epoch is all training steps and one validation with its COCO metrics. Three runs take turns in one process: features
kept, the same run with its features computed in every step, and with the zoo's augmentation, which lets none be kept.
Prints epochs a minute, the median of the ratios (goal: at least 4), what the features cost once, and memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import psutil
from _measure import shared

from tfod_transfer import cli, hyperparameters, registry

if TYPE_CHECKING:
    from tfod_transfer.evaluation.coco_metrics import CocoMetrics

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
CHECKPOINT = "checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands"
KEPT, ANEW, AUGMENTED = "features kept", "computed anew", "computed anew, augmented"


class Run:
    """A run that trains the class head alone; `seconds` are those of training, detecting and measuring."""

    def __init__(self, kind: str, epochs: int, batch_size: int) -> None:
        import tensorflow as tf

        from tfod_transfer.data import pipeline, training_data
        from tfod_transfer.modeling import zoo_checkpoint
        from tfod_transfer.modeling.detector import build_detector, trainable_variables_for
        from tfod_transfer.training import fine_tuner, frozen_features, optimizers

        spec = registry.load_registry().get(MODEL_ID)
        given = {"batch_size": batch_size, "train_only_on_top_layer": True, "epochs": epochs}
        given["augmentation"] = "zoo" if kind == AUGMENTED else "none"
        settings = hyperparameters.resolve(given, spec.defaults)
        folder = shared("data/bccd")
        data = training_data.read(str(folder / "train"), str(folder / "test"), settings)
        detector = build_detector(spec, data.train.num_classes)
        zoo_checkpoint.restore(
            detector,
            str(shared(CHECKPOINT) / "checkpoint" / "ckpt-0"),
            checkpoint_class_names=(shared(CHECKPOINT) / "labels.txt").read_text().split(),
            class_names=data.train.class_names,
        )
        self.validation_set = data.validation
        started, memory = time.perf_counter(), psutil.Process().memory_info().rss
        if kind == KEPT:
            inputs = [
                frozen_features.input_pipeline(detector, each, settings, print)
                for each in (data.train, data.validation)
            ]
        else:
            inputs = [pipeline.InputPipeline(each, spec, settings) for each in (data.train, data.validation)]
        self.train_batches, self.eval_batches = iter(inputs[0].train_batches()), inputs[1].eval_batches()
        if kind == KEPT:
            grown = (psutil.Process().memory_info().rss - memory) / 1e9
            print(f"features took {time.perf_counter() - started:.1f} s once; the process grew by {grown:.2f} GB")
            print(*inputs[0].cache_descriptions, *inputs[1].cache_descriptions, sep="\n")
        self.steps = inputs[0].steps_per_epoch
        variables = trainable_variables_for(detector, only_top=True)
        self.model = fine_tuner.FineTuner(detector, variables, settings.regularizers_l2, seed=settings.seed)
        self.model.compile(optimizers.build_optimizer(settings, epochs * self.steps))
        self.train_step, self.predict_step = tf.function(self.model.train_step), tf.function(self.model.predict_step)
        self.seconds: list[tuple[float, float, float]] = []

    def epoch(self) -> None:
        marks = [time.perf_counter()]
        for _ in range(self.steps):
            losses = self.train_step(next(self.train_batches))
        float(losses["loss"])
        marks.append(time.perf_counter())
        outputs = [
            {name: value.numpy() for name, value in self.predict_step(batch).items()} for batch in self.eval_batches
        ]
        marks.append(time.perf_counter())
        self.metrics = self._metrics(outputs)
        marks.append(time.perf_counter())
        self.seconds.append((marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2]))

    def _metrics(self, outputs: list[dict[str, Any]]) -> CocoMetrics:
        import numpy as np

        from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics

        whole = {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
        real = whole["image_ids"] >= 0
        detections = ImageDetections(*(whole[name][real] for name in ("boxes", "classes", "scores")))
        return coco_metrics(self.validation_set, detections)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=8)
    options = parser.parse_args()
    cli.quiet_tensorflow()
    runs = {kind: Run(kind, options.rounds + 1, options.batch_size) for kind in (KEPT, ANEW, AUGMENTED)}
    for _ in range(options.rounds + 1):  # the first does not count: it traces, and fills the cache of images
        for run in runs.values():
            run.epoch()
    seconds = {kind: [sum(parts) for parts in run.seconds[1:]] for kind, run in runs.items()}
    for kind, run in runs.items():
        parts = (statistics.median(column) for column in zip(*run.seconds[1:], strict=True))
        print(
            f"{kind:25} {60 / statistics.median(seconds[kind]):6.1f} epochs a minute "
            "(training {:.2f} s, detections {:.2f} s, metrics {:.2f} s)".format(*parts)
            + f", AP50 {run.metrics.ap50:.3f}"
        )
    for other in (ANEW, AUGMENTED):
        ratio = statistics.median(b / a for a, b in zip(seconds[KEPT], seconds[other], strict=True))
        print(f"{KEPT} against {other}: {ratio:.1f} times the epochs a minute (goal: at least 4)")
    print(f"largest resident memory of the process: {psutil.Process().memory_info().rss / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
