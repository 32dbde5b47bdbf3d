"""The flow of AWS's notebook for Object Detection on COCO, with this package's commands for AWS's services.

COCO's annotations become channels of images and of JSON files, a training job reads the four of them with the
notebook's hyperparameters, an endpoint answers for a photograph, and the notebook's function draws what it finds.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from jobs import deploy, fit
from matplotlib import image as mpimg
from matplotlib import pyplot as plt
from published_metrics import OBJECT_DETECTION
from running import Command

pytestmark = pytest.mark.acceptance

TRAINED = 16
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
    "num_training_samples": TRAINED,
}
CHANNELS = ("train", "validation", "train_annotation", "validation_annotation")


def make_channels(photographs: pathlib.Path, folder: pathlib.Path, command: Command) -> dict[str, pathlib.Path]:
    """Converts, then moves the first images and their files to train, the last to validation."""
    generated = folder / "generated"
    flags = ("--to", "image_json", "--skip_images_without_boxes", "--whole_pixels")
    done = command("convert", photographs / "coco.json", generated, *flags)
    assert done.status == 0, done.error
    channels = {name: folder / name for name in CHANNELS}
    for path in channels.values():
        path.mkdir()
    annotations = sorted((folder / "generated_annotation").glob("*.json"))
    assert len(annotations) == 52  # of 53, one shows nothing
    for name, file in [*(("train", each) for each in annotations[:TRAINED]), ("validation", annotations[-1])]:
        image = generated / json.loads(file.read_text())["file"]
        image.rename(channels[name] / image.name)
        file.rename(channels[f"{name}_annotation"] / file.name)
    return channels


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
    archive = fit(tmp_path / "job", channels, **HYPERPARAMETERS)
    log = (tmp_path / "job" / "log").read_text()
    for name, pattern in OBJECT_DETECTION.items():
        assert len(re.findall(pattern, log)) == HYPERPARAMETERS["epochs"], name
    categories = json.loads((photographs / "coco.json").read_text())["categories"]
    names = [each["name"] for each in sorted(categories, key=lambda each: int(each["id"]))]
    photograph = sorted(channels["validation"].iterdir())[0]
    with deploy(archive, tmp_path / "endpoint") as server:
        answer = server.post("invocations", photograph.read_bytes(), Content_Type="image/jpeg")
    rows = answer["prediction"]
    info = json.loads((tmp_path / "job" / "model" / "__model_info__.json").read_text())
    assert (info["algorithm"], info["model_name"]) == ("object-detection", "object-detection-ssd-resnet-50")
    assert info["category_ids"] == list(range(80))
    assert rows
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert {int(row[0]) for row in rows} <= set(range(HYPERPARAMETERS["num_classes"]))
    assert np.array(rows)[:, 2:].min() >= 0
    assert np.array(rows)[:, 2:].max() <= 1
    threshold = rows[min(4, len(rows) - 1)][1]
    assert visualize_detection(photograph, rows, names, threshold) == sum(row[1] >= threshold for row in rows)
