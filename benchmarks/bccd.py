"""Accuracy, wall time and memory of the 320 model on blood cells (BCCD), three seeds; other flags are handed on to fit.

    python benchmarks/bccd.py [--seeds 0 1 2] [--epochs 10] [--held_out] [--kills 2] [--FLAG_OF_FIT VALUE ...]

Runs the real command from the hands checkpoint in its own process for each seed; prints AP50 and AP of the test split
after the last epoch (the best epoch would be chosen on the test split itself), seconds, and the largest resident memory
of that process. With --held_out the best epoch is chosen on the validation split, and its artifact measured on the test
split by `evaluate`. With --kills each run is killed (SIGKILL) so often on its way and started again. The TensorFlow
Object Detection API, from the same checkpoint on the same split, batch 8: AP50 0.825, AP 0.533 at best in 10 epochs
(0.606, 0.419 at a quarter of that learning rate), 222 s, 3.2 GB; 0.866, 0.568 in 30 epochs, 545 s.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from _measure import ROOT, shared

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"


def run(seed: int, options: argparse.Namespace, flags: list[str], folder: pathlib.Path) -> tuple[float, ...]:
    """Returns AP50, AP, seconds, GB of one run."""
    model_dir = folder / f"seed_{seed}"
    data = shared("data/bccd")
    command = [sys.executable, "-m", "tfod_transfer.fit", "--model_id", MODEL_ID, "--model_dir", str(model_dir)]
    command += ["--training", str(data / "train")]
    command += ["--validation", str(data / ("validation" if options.held_out else "test"))]
    command += ["--pretrained", str(shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands"))]
    command += ["--seed", str(seed), "--epochs", str(options.epochs), *flags]
    kill_after = [options.epochs * (kill + 1) // (options.kills + 1) for kill in range(options.kills)]
    started = time.perf_counter()
    gigabytes = max(train(command, epoch) for epoch in (*kill_after, None))
    seconds = time.perf_counter() - started
    if not options.held_out:
        last = json.loads((model_dir / "metrics.json").read_text())["history"][-1]
        return last["AP50"], last["AP"], seconds, gigabytes
    command = [sys.executable, "-m", "tfod_transfer.evaluate", str(model_dir), str(data / "test")]
    subprocess.run([*command, "--output_dir", str(model_dir / "test")], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    found = json.loads((model_dir / "test" / "metrics.json").read_text())
    return found["AP50"], found["AP"], seconds, gigabytes


def train(command: list[str], kill_after: int | None) -> float:
    """Runs `fit`, until a little after the end of an epoch if one is given; returns its largest memory in GB."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    for line in child.stdout:
        if kill_after is not None and line.startswith(f"[Epoch {kill_after}], Val_mAP50"):
            time.sleep(3)
            child.kill()
    _, status, usage = os.wait4(child.pid, 0)
    if status != (signal.SIGKILL if kill_after is not None else 0):
        sys.exit(f"{' '.join(command)} ended with status {status}")
    return usage.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--held_out", action="store_true", help="choose the epoch on the validation split")
    parser.add_argument("--kills", type=int, default=0, help="times that each run is killed on its way")
    options, flags = parser.parse_known_args()
    measured = "best epoch of the validation split" if options.held_out else "last epoch"
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            results.append(run(seed, options, flags, pathlib.Path(folder)))
            print(
                "seed {}: AP50 {:.3f}, AP {:.3f} ({}), {:.0f} s, {:.2f} GB".format(
                    seed, *results[-1][:2], measured, *results[-1][2:]
                ),
                flush=True,
            )
    print(
        "mean:   AP50 {:.3f}, AP {:.3f}, {:.0f} s, {:.2f} GB".format(*map(statistics.mean, zip(*results, strict=True)))
    )


if __name__ == "__main__":
    main()
