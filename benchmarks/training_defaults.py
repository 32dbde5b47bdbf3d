"""Which training settings find most: the evidence behind the recipe of the registry.

    python benchmarks/training_defaults.py [--train] [--data bccd coco] [--seeds 0 1 2] [--only NAME …] [--jobs 1]

Each row changes one thing, or a few, of the recipe and trains the 320-pixel model from the hands checkpoint by the real
command; AP50 and AP are those of the validation images, with the weights that the artifact holds. Prints the tables of
the runs in training_defaults.jsonl beside it, a line a run; with --train, trains first what is not there yet.

`bccd` (blood cells): 205 images for training, 87 for validation, 10 epochs. `coco`: 53 photographs of 2017's COCO, of
which a fifth, drawn by the seed, is for validation, 30 epochs: few images and many classes, so that only large
differences mean something.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from _measure import ROOT, shared

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
START = "checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands"

Settings = dict[str, Any]

# What the recipe was before this study; each row overrides it.
BASE: Settings = {"learning_rate": 0.002, "batch_size": 8, "warmup_fraction": 0.1, "augmentation": "zoo"}
ROWS: dict[str, Settings] = {
    "base": {},
    "rate 0.0005": {"learning_rate": 0.0005},
    "rate 0.001": {"learning_rate": 0.001},
    "rate 0.004": {"learning_rate": 0.004},
    "batch 4": {"batch_size": 4},
    "batch 4, rate 0.001": {"batch_size": 4, "learning_rate": 0.001},
    "no warm-up": {"warmup_fraction": 0.0},
    "augmentation none": {"augmentation": "none"},
    "augmentation strong, rate 0.001": {"augmentation": "strong", "learning_rate": 0.001},
    "batch 4, anchors 2.8": {"batch_size": 4, "anchor_scale": 2.8},
    "EMA 0.98, rate 0.001": {"ema_decay": 0.98, "learning_rate": 0.001},
    "batch 4, EMA 0.99": {"batch_size": 4, "ema_decay": 0.99},
    "class head only": {"train_only_on_top_layer": True},
}
EPOCHS = {"bccd": 10, "coco": 30}


def data_arguments(data: str) -> list[str]:
    if data == "bccd":
        folder = shared("data/bccd")
        return ["--training", str(folder / "train"), "--validation", str(folder / "validation")]
    return ["--training", str(shared("data/coco_permissive"))]


def run(name: str, data: str, seed: int, epochs: int, threads: int) -> Settings:
    """Trains once; returns the line of the results file."""
    settings = {"epochs": epochs, **BASE, **ROWS[name], "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tfod_transfer.fit", "--model_id", MODEL_ID, "--model_dir", f"{folder}/model"]
        command += [*data_arguments(data), "--pretrained", str(shared(START))]
        command += [f"--{key}={value}" for key, value in settings.items()]
        environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
        metrics = json.loads(pathlib.Path(folder, "model", "metrics.json").read_text())
    best = max(metrics["history"], key=lambda epoch: epoch["AP"])
    found = {key: best[key] for key in ("AP50", "AP", "epoch")}
    return {"name": name, "data": data, "epochs": epochs, "seed": seed, **found}


def table(lines: list[Settings], data: str) -> str:
    """Means over seeds, their spread, and what each row gains over the base with the same seeds."""
    runs: dict[tuple[str, int], Settings] = {
        (line["name"], line["seed"]): line for line in lines if line["data"] == data
    }
    rows = [
        "| settings | seeds | AP50 | AP | lowest … highest | AP over base |",
        "|---|---|---|---|---|---|",
    ]
    for name in ROWS:
        seeds = sorted(seed for other, seed in runs if other == name)
        if not seeds:
            continue
        values = [runs[name, seed] for seed in seeds]
        aps = [line["AP"] for line in values]
        gains = [runs[name, seed]["AP"] - runs["base", seed]["AP"] for seed in seeds if ("base", seed) in runs]
        gain = f"{statistics.mean(gains):+.3f}" if gains and name != "base" else ""
        ap50, ap = statistics.mean(line["AP50"] for line in values), statistics.mean(aps)
        rows.append(f"| {name} | {len(seeds)} | {ap50:.3f} | {ap:.3f} | {min(aps):.3f} … {max(aps):.3f} | {gain} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path(__file__).with_suffix(".jsonl"))
    parser.add_argument("--data", nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="NAME")
    parser.add_argument("--epochs", type=int, help="in place of each data set's own")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--train", action="store_true", help="train what is missing; minutes for each run")
    options = parser.parse_args()
    lines = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    done = {(line["name"], line["data"], line["epochs"], line["seed"]) for line in lines}
    wanted = [
        (name, data, seed, options.epochs or EPOCHS[data])
        for seed in options.seeds
        for data in options.data
        for name in options.only
        if (name, data, options.epochs or EPOCHS[data], seed) not in done
    ]
    if options.train:
        threads = max((os.cpu_count() or 1) // options.jobs, 1)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            waiting = [pool.submit(run, *each, threads) for each in wanted]
            for future in concurrent.futures.as_completed(waiting):
                lines.append(future.result())
                with options.results.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    for data in options.data:
        print(f"{data}, {options.epochs or EPOCHS[data]} epochs")
        print(table([line for line in lines if line["epochs"] == (options.epochs or EPOCHS[data])], data))


if __name__ == "__main__":
    main()
