"""A real transfer: photographs of blood cells, from a real trained checkpoint, by the real commands."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest
from running import Command

pytestmark = pytest.mark.acceptance
MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
HANDS = "checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands"
Shared = Callable[[str], pathlib.Path]


def test_three_epochs_find_blood_cells(command: Command, shared: Shared, tmp_path: pathlib.Path) -> None:
    data, model_dir = shared("data/bccd"), tmp_path / "model"
    done = command(
        "fit",
        *("--model_id", MODEL_ID, "--pretrained", shared(HANDS), "--model_dir", model_dir, "--epochs", 3),
        *("--training", data / "train", "--validation", data / "validation"),
    )
    assert done.status == 0, done.error
    assert "2 zero area box dropped" in done.output  # one in each folder
    assert "class rows new:     RBC, WBC, Platelets" in done.output
    done = command("evaluate", model_dir, data / "test", "--output_dir", tmp_path / "results")
    assert done.status == 0, done.error
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert metrics["AP50"] > 0.65  # 0.72 when this was written
    assert set(metrics["per_class"]) == {"RBC", "WBC", "Platelets"}


def test_the_pretrained_hands_detector_finds_faces(command: Command, shared: Shared, tmp_path: pathlib.Path) -> None:
    done = command(
        "fit", "--model_id", MODEL_ID, "--pretrained", shared(HANDS), "--model_dir", tmp_path / "model", "--epochs", 0
    )
    assert done.status == 0, done.error
    labels = json.loads((tmp_path / "model" / "labels_info.json").read_text())["labels"]
    assert labels == ["N/A", "open", "closed", "pinch", "point", "face", "pointtip", "pinchtip"]
    images = shared("data/coco_permissive") / "images"
    done = command("predict", tmp_path / "model", images, "--output_dir", tmp_path / "out", "--score_threshold", 0.8)
    assert done.status == 0, done.error
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 53
    faces = [line["image"] for line in lines if "face" in line["class_names"]]
    assert len(faces) >= 10
