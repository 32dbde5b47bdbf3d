"""The package on the newest stack that it admits: import, build, one train step, export, predict.

    .venv-newest/bin/python tests/smoke/newest_stack.py

A script and no pytest test, since that environment holds no development tools. Stops at the first thing that does not
work.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import pkgutil
import sys
import tempfile
from importlib import metadata

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tfod_transfer
from tfod_transfer import artifact, evaluate, fit, predict
from tfod_transfer.demo import __main__ as demo
from tfod_transfer.demo import shapes

LOCK = pathlib.Path(__file__).resolve().parents[2] / "requirements" / "newest.lock"
STACK = ("tensorflow", "tf-keras", "tf-models-official", "tensorflow-hub", "numpy")


def main() -> None:
    check_versions()
    check_imports()
    with tempfile.TemporaryDirectory() as folder:
        check_run(pathlib.Path(folder))


def check_versions() -> None:
    locked = LOCK.read_text()
    found = {name: metadata.version(name) for name in STACK}
    for name, version in found.items():
        expect(f"{name}=={version}" in locked, f"{name} {version} is not what {LOCK.name} has")
    print("stack:   " + ", ".join(f"{name} {version}" for name, version in found.items()))


def check_imports() -> None:
    names = [module.name for module in pkgutil.walk_packages(tfod_transfer.__path__, "tfod_transfer.")]
    for name in names:
        importlib.import_module(name)
    print(f"imported {len(names)} modules")


def check_run(folder: pathlib.Path) -> None:
    """One step of training on eight drawn images, the artifact's own check on export, predictions, metrics."""
    data, model = folder / "data", folder / "model"
    shapes.generate(data, shapes.TARGET_CLASSES, num_images=8, seed=1, image_size=(96, 160))
    fit.fit(
        fit.FitOptions(
            model_id=demo.MODEL_ID,
            training=str(data),
            validation=str(data),
            model_dir=str(model),
            hyperparameters={"epochs": 1, "batch_size": 8},
        )
    )
    names = artifact.load(str(model)).info.class_names
    expect(tuple(names) == shapes.TARGET_CLASSES, f"the artifact knows {names}")

    expect(predict.main([str(model), str(data / "images"), "--output_dir", str(folder / "predicted")]) == 0, "predict")
    lines = (folder / "predicted" / "predictions.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    expect(len(found) == 8, f"{len(found)} lines of predictions for 8 images")
    boxes = [box for line in found for box in line["normalized_boxes"]]
    expect(bool(boxes), "no detection at all, although none is left out for its score")
    expect(all(0 <= low <= high <= 1 for box in boxes for low, high in (box[::2], box[1::2])), "a box is not in order")

    evaluate.main([str(model), str(data), "--output_dir", str(folder / "measured")])
    metrics = json.loads((folder / "measured" / "metrics.json").read_text())
    expect(0 <= metrics["AP"] <= 1, f"AP is {metrics['AP']}")


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"smoke test on the newest stack failed: {otherwise}")


if __name__ == "__main__":
    main()
    print("smoke test on the newest stack passed")
    sys.stdout.flush()
