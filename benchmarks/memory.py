"""Memory of a process that trains, epoch by epoch: it should stay what it was after the first one.

    python benchmarks/memory.py [--epochs 20] [--bccd]

Runs `fit` on drawn shapes with the embedded model, or on the blood cells with the 320 model, and prints the resident
size after each epoch, how far it goes from that after the first, and how far it grows over that after the second
(goals: 5 %): the first may have memory of the tracing in it that is given back later.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from _measure import shared

DEMO = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"
FPNLITE = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
GOAL = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="at least 2")
    parser.add_argument("--bccd", action="store_true", help="the blood cells and the 320 model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        flags = blood_cells() if options.bccd else drawn_shapes(folder)
        command = [sys.executable, "-m", "tfod_transfer.fit", *flags, "--model_dir", str(folder / "model")]
        subprocess.run([*command, "--epochs", str(options.epochs)], stdout=subprocess.DEVNULL, check=True)
        history = json.loads((folder / "model" / "metrics.json").read_text())["history"]
    sizes = [epoch["memory_bytes"] for epoch in history]
    for epoch, size in enumerate(sizes, start=1):
        print(f"epoch {epoch:3}: {size / 2**20:6.0f} MB, {size / sizes[0] - 1:+.1%}")
    largest = max((size / sizes[0] - 1 for size in sizes), key=abs)
    print(f"largest deviation from the first epoch: {largest:+.1%} (goal: within {GOAL:.0%})")
    growth = max(size / sizes[1] - 1 for size in sizes[1:])
    print(f"largest growth over the second epoch: {growth:+.1%} (goal: at most {GOAL:.0%})")


def drawn_shapes(folder: pathlib.Path) -> list[str]:
    """Draws training and validation images; returns the flags that say where they are, and the model."""
    from tfod_transfer.demo import shapes

    shapes.generate(folder / "training", shapes.TARGET_CLASSES, 48, seed=3)
    shapes.generate(folder / "validation", shapes.TARGET_CLASSES, 24, seed=4)
    return ["--model_id", DEMO, "--training", str(folder / "training"), "--validation", str(folder / "validation")]


def blood_cells() -> list[str]:
    """The same for the blood cells, with the weights that were trained on hands."""
    data, weights = shared("data/bccd"), shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands")
    return [
        *("--model_id", FPNLITE, "--pretrained", str(weights)),
        *("--training", str(data / "train"), "--validation", str(data / "test")),
    ]


if __name__ == "__main__":
    main()
