"""The flow of AWS's notebook for Object Detection with images and JSON: COCO in, four channels, a job, an endpoint.

The hyperparameters are the notebook's, but for a short run on few photographs and a smaller input; and without weights
trained on ImageNet, which are not at hand here.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from jobs import deploy, fit
from matplotlib import pyplot as plt
from PIL import Image
from running import Command

pytestmark = pytest.mark.acceptance

TRAINED, VALIDATED = 8, 4
HELD_OUT = ("validation", "validation_annotation")
HYPERPARAMETERS = {
    "base_network": "resnet-50", "use_pretrained_model": 0, "num_classes": 80, "mini_batch_size": 4, "epochs": 1,
    "learning_rate": 0.001, "lr_scheduler_step": "10", "lr_scheduler_factor": 0.1, "optimizer": "sgd", "momentum": 0.9,
    "weight_decay": 0.0005, "overlap_threshold": 0.5, "nms_threshold": 0.45, "image_shape": 300, "label_width": 600,
    "num_training_samples": TRAINED,
}  # fmt: skip


def part_of_coco(source: pathlib.Path, target: pathlib.Path, count: int) -> pathlib.Path:
    """Some photographs of COCO, as COCO gives them: a folder of images and an instances file, which is returned."""
    coco = json.loads((source / "coco.json").read_text())
    with_boxes = {annotation["image_id"] for annotation in coco["annotations"]}
    coco["images"] = [image for image in coco["images"] if image["id"] in with_boxes][:count]
    kept = {image["id"] for image in coco["images"]}
    coco["annotations"] = [each for each in coco["annotations"] if each["image_id"] in kept]
    (target / "images").mkdir(parents=True)
    for image in coco["images"]:
        name = pathlib.PurePath(image["file_name"]).name
        (target / "images" / name).symlink_to((source / "images" / name).resolve())
    (target / "coco.json").write_text(json.dumps(coco))
    return target / "coco.json"


def visualize_detection(file: pathlib.Path, rows: list[list[float]], names: list[str], target: pathlib.Path) -> int:
    """Draws as the notebook does: class, score and corners of each row, in shares of the picture; returns how many."""
    image = np.asarray(Image.open(file).convert("RGB"))
    height, width = image.shape[:2]
    figure, axes = plt.subplots()
    axes.imshow(image)
    for klass, score, x0, y0, x1, y1 in rows:
        xmin, ymin, xmax, ymax = int(x0 * width), int(y0 * height), int(x1 * width), int(y1 * height)
        axes.add_patch(plt.Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, fill=False))
        axes.text(xmin, ymin - 2, f"{names[int(klass)]} {score:.3f}")
    figure.savefig(target)
    plt.close(figure)
    return len(rows)


def test_convert_train_host_predict_draw(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, command: Command
) -> None:
    mpl.use("Agg")
    coco = part_of_coco(shared("data/coco_permissive"), tmp_path / "coco", TRAINED + VALIDATED)
    done = command("convert", coco, tmp_path / "train", "--to", "image_json", "--skip_images_without_boxes")
    assert done.status == 0, done.error
    channels = {name: tmp_path / name for name in ("train", "train_annotation", *HELD_OUT)}
    for name, held_out in zip(("train", "train_annotation"), HELD_OUT, strict=True):
        channels[held_out].mkdir()
        for path in sorted(channels[name].iterdir())[TRAINED:]:
            path.rename(channels[held_out] / path.name)
    archive = fit(tmp_path / "job", channels, **HYPERPARAMETERS)
    info = json.loads((tmp_path / "job" / "model" / "__model_info__.json").read_text())
    assert (info["algorithm"], info["model_name"]) == ("object-detection", "object-detection-ssd-resnet-50")
    assert info["category_ids"] == list(range(80))

    (photograph, *_) = sorted((tmp_path / "validation").rglob("*.jpg"))
    with deploy(archive, tmp_path / "endpoint") as server:
        answers = [
            server.post("invocations", photograph.read_bytes(), Content_Type=kind, Accept="application/json")
            for kind in ("image/jpeg", "application/x-image")
        ]
    assert answers[0] == answers[1]
    rows = answers[0]["prediction"]
    assert all(len(row) == 6 and 0 <= row[0] < 80 for row in rows)
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    assert visualize_detection(photograph, rows, info["class_names"], tmp_path / "drawn.png") == len(rows)
    assert Image.open(tmp_path / "drawn.png").size[0] > 0
