"""The flow of AWS's notebook for Object Detection on COCO, with this package's commands for AWS's services.

COCO's annotations become channels of images and of JSON files, a training job reads the four of them with the
notebook's hyperparameters, an endpoint answers for a photograph, and the notebook's function draws what it finds.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import image as mpimg
from matplotlib import pyplot as plt
from published_metrics import OBJECT_DETECTION
from running import ROOT, Command
from served import started

pytestmark = pytest.mark.acceptance

# As in the notebook, but for one epoch from random weights: ImageNet's cannot be had without a network.
HYPERPARAMETERS = {
    "base_network": "resnet-50",
    "use_pretrained_model": 0,
    "num_classes": 80,
    "mini_batch_size": 16,
    "epochs": 1,
    "learning_rate": 0.001,
    "lr_scheduler_step": "10",
    "lr_scheduler_factor": 0.1,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "overlap_threshold": 0.5,
    "nms_threshold": 0.45,
    "image_shape": 512,
    "label_width": 600,
    "num_training_samples": 40,
}
CHANNELS = ("train", "validation", "train_annotation", "validation_annotation")


def make_channels(photographs: pathlib.Path, folder: pathlib.Path, command: Command) -> dict[str, pathlib.Path]:
    """Converts, then moves the first forty images with a box and their files to train, the others to validation."""
    generated = folder / "generated"
    flags = ("--to", "image_json", "--skip_images_without_boxes", "--whole_pixels")
    done = command("convert", photographs / "coco.json", generated, *flags)
    assert done.status == 0, done.error
    channels = {name: folder / name for name in CHANNELS}
    for path in channels.values():
        path.mkdir()
    annotations = sorted((folder / "generated_annotation").glob("*.json"))
    assert len(annotations) == 52  # of 53, one shows nothing
    for number, file in enumerate(annotations):
        name = "train" if number < 40 else "validation"
        image = generated / json.loads(file.read_text())["file"]
        image.rename(channels[name] / image.name)
        file.rename(channels[f"{name}_annotation"] / file.name)
    return channels


def train(folder: pathlib.Path, channels: dict[str, pathlib.Path]) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    environ |= {f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()}
    environ |= {
        "SAGEMAKER_BASE_DIR": str(folder),
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DATA_DIR": str(folder / "output" / "data"),
        "SM_HPS": json.dumps({name: str(value) for name, value in HYPERPARAMETERS.items()}),
    }
    script = [sys.executable, "scripts/transfer_learning.py"]
    done = subprocess.run(script, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def visualize_detection(file: pathlib.Path, found: list[list[float]], classes: list[str], threshold: float) -> int:
    """As the notebook's function of this name draws; returns how many boxes."""
    image = mpimg.imread(file)
    axes = plt.figure().gca()
    axes.imshow(image)
    height, width = image.shape[:2]
    for klass, score, x0, y0, x1, y1 in found:
        if score < threshold:
            continue
        xmin, ymin, xmax, ymax = int(x0 * width), int(y0 * height), int(x1 * width), int(y1 * height)
        axes.add_patch(plt.Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, fill=False, linewidth=3.5))
        axes.text(xmin, ymin - 2, f"{classes[int(klass)]} {score:.3f}", fontsize=12)
    return len(axes.patches)


def test_convert_train_deploy_ask_and_draw(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, command: Command
) -> None:
    mpl.use("Agg")
    photographs = shared("data/coco_permissive")
    channels = make_channels(photographs, tmp_path, command)
    log = train(tmp_path / "job", channels)
    for name, pattern in OBJECT_DETECTION.items():
        assert len(re.findall(pattern, log)) == HYPERPARAMETERS["epochs"], name
    categories = json.loads((photographs / "coco.json").read_text())["categories"]
    names = [each["name"] for each in sorted(categories, key=lambda each: int(each["id"]))]
    photograph = sorted(channels["validation"].iterdir())[0]
    with started(tmp_path / "job" / "model") as server:
        answer = server.post("invocations", photograph.read_bytes(), Content_Type="image/jpeg")
    rows = answer["prediction"]
    assert rows
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert {int(row[0]) for row in rows} <= set(range(HYPERPARAMETERS["num_classes"]))
    assert np.array(rows)[:, 2:].min() >= 0
    assert np.array(rows)[:, 2:].max() <= 1
    threshold = rows[min(4, len(rows) - 1)][1]
    assert visualize_detection(photograph, rows, names, threshold) == sum(row[1] >= threshold for row in rows)
