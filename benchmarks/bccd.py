"""Accuracy, wall time and memory of the default recipe on blood cells (BCCD, train -> test), three seeds.

    python benchmarks/bccd.py [--seeds 0 1 2] [--epochs 10]

Runs the real command from the hands checkpoint in its own process for each seed; prints AP50 and AP of the test split
after the last epoch (the best epoch would be chosen on the test split itself), seconds, and the largest resident memory
of that process. The TensorFlow Object Detection API, from the same checkpoint on the same split, batch 8, 10 epochs:
AP50 0.825, AP 0.533 at best (0.606, 0.419 at a quarter of that learning rate), 222 s, 3.2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from _measure import ROOT, shared

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"


def run(seed: int, epochs: int | None, folder: pathlib.Path) -> tuple[float, float, float, float]:
    """Returns AP50, AP, seconds, GB of one run."""
    model_dir = folder / f"seed_{seed}"
    command = [sys.executable, "-m", "tfod_transfer.fit", "--model_id", MODEL_ID, "--model_dir", str(model_dir)]
    command += ["--training", str(shared("data/bccd/train")), "--validation", str(shared("data/bccd/test"))]
    command += ["--pretrained", str(shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands"))]
    command += ["--seed", str(seed), *(["--epochs", str(epochs)] if epochs else [])]
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(command)} ended with status {status}")
    last = json.loads((model_dir / "metrics.json").read_text())["history"][-1]
    return last["AP50"], last["AP"], seconds, usage.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            results.append(run(seed, options.epochs, pathlib.Path(folder)))
            print(
                "seed {}: AP50 {:.3f}, AP {:.3f} (last epoch), {:.0f} s, {:.2f} GB".format(seed, *results[-1]),
                flush=True,
            )
    print(
        "mean:   AP50 {:.3f}, AP {:.3f}, {:.0f} s, {:.2f} GB".format(*map(statistics.mean, zip(*results, strict=True)))
    )


if __name__ == "__main__":
    main()
