"""What exporting in bfloat16 costs in COCO AP, with trained weights: a checkpoint exported twice and measured twice.

    python benchmarks/export_precision.py [--epochs 6]

- blood cells: the 320 model, fine-tuned here from the trained hands checkpoint, on the test images;
- hands: that checkpoint as it is, on photographs of everyday scenes. There is no ground truth of its classes for them,
  so what the float32 export finds with a score of at least 0.5 counts as true: how far do the two disagree?

The 320 model is depthwise and not exported in bfloat16 unless asked for; trained weights are at hand for no other.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from _measure import shared

from tfod_transfer import artifact, cli, fit

if TYPE_CHECKING:
    from tfod_transfer.evaluation.coco_metrics import ImageDetections

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
TRUE_FROM_SCORE = 0.5
PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    epochs = parser.parse_args().epochs
    blood, hands = shared("data/bccd"), shared("checkpoints") / "ssd_mobilenet_v2_fpnlite_320x320_hands"
    scenes = sorted((shared("data/coco_permissive") / "images").glob("*.jpg"))
    cli.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        trained = f"{scratch}/trained"
        run(trained, str(hands), training=str(blood / "train"), validation=str(blood / "test"), epochs=epochs)
        print(f"{'':<22}{'float32 AP':>12}{'bfloat16 AP':>13}{'difference':>12}")
        exact, rounded = (ap_on_test_images(exported(trained, scratch, each), blood / "test") for each in PRECISIONS)
        print_row("blood cells, test", exact, rounded)
        found = [detections(exported(str(hands), scratch, each), scenes) for each in PRECISIONS]
        print_row(f"hands, {len(scenes)} scenes", *agreement(scenes, *found))


def print_row(title: str, exact: float, rounded: float) -> None:
    print(f"{title:<22}{exact:>12.4f}{rounded:>13.4f}{rounded - exact:>12.4f}", flush=True)


def exported(pretrained: str, scratch: str, precision: str) -> str:
    """Returns the artifact of a checkpoint exported as it is."""
    folder = f"{scratch}/{pathlib.Path(pretrained).name}-{precision}"
    run(folder, pretrained, epochs=0, export_precision=precision)
    return folder


def run(
    model_dir: str, pretrained: str, *, training: str | None = None, validation: str | None = None, **given: object
) -> None:
    """`fit`, without what it prints."""
    labels = None if pathlib.Path(pretrained, artifact.INFO_FILE).exists() else f"{pretrained}/labels.txt"
    with contextlib.redirect_stdout(io.StringIO()):
        fit.fit(
            fit.FitOptions(
                MODEL_ID,
                model_dir,
                training=training,
                validation=validation,
                pretrained=pretrained,
                pretrained_labels=labels,
                hyperparameters=given,
            )
        )


def ap_on_test_images(model_dir: str, data: pathlib.Path) -> float:
    from tfod_transfer import evaluate

    with tempfile.TemporaryDirectory() as output, contextlib.redirect_stdout(io.StringIO()):
        evaluate.main([model_dir, str(data), "--output_dir", output])
        return float(json.loads(pathlib.Path(output, "metrics.json").read_text())["AP"])


def detections(model_dir: str, images: Sequence[pathlib.Path]) -> ImageDetections:
    from tfod_transfer.evaluation.coco_metrics import concatenate
    from tfod_transfer.serving.loaded import LoadedDetector

    detector = LoadedDetector(artifact.load(model_dir).saved_model)
    return concatenate(list(detector.detect_files([str(image) for image in images])))


def agreement(images: Sequence[pathlib.Path], exact: ImageDetections, rounded: ImageDetections) -> tuple[float, float]:
    """AP of each, where what `exact` finds with some confidence counts as true."""
    from tfod_transfer.data import image_files
    from tfod_transfer.data.dataset import DetectionDataset
    from tfod_transfer.evaluation.coco_metrics import coco_metrics

    true = exact.scores >= TRUE_FROM_SCORE
    classes = exact.classes[true]
    names = tuple(str(number) for number in range(int(classes.max()) + 1))
    sides = [image_files.open_upright(str(image)).size for image in images]
    dataset = DetectionDataset(
        image_paths=[str(image) for image in images],
        image_ids=range(len(images)),
        sizes=np.array(sides, np.int32)[:, ::-1],
        orientations=np.ones(len(images), np.uint8),
        boxes=exact.boxes[true],
        classes=classes,
        is_crowd=np.zeros(len(classes), bool),
        offsets=np.concatenate([[0], np.cumsum(true.sum(axis=1))]),
        class_names=names,
        category_ids=names,
    )
    return coco_metrics(dataset, exact).ap, coco_metrics(dataset, rounded).ap


if __name__ == "__main__":
    main()
