"""One run of each family of models by the real commands, from weights in the zoo's format that anyone can compute.

Such weights have learnt nothing, so what is asked is not accuracy but that every file is whole and every number agrees.
"""

from __future__ import annotations

import json
import math
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from running import ARTIFACT_FILES, DEMO, Command, Done

from tfod_transfer import execution, registry

pytestmark = pytest.mark.acceptance
RESNET50 = "tensorflow-od1-ssd-resnet50-v1-fpn-640x640-coco17-tpu-8"
EFFICIENTDET_D0 = "tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8"
FPNLITE_320 = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
BLOOD_CELLS = ["RBC", "WBC", "Platelets"]
# What numbers of six digits lose.
WRITTEN = 1e-6

Shared = Callable[[str], pathlib.Path]
Synthetic = Callable[[str], pathlib.Path]


class Tolerances(NamedTuple):
    """Absolute, of the sides of boxes and of scores; those of the golden tests for what users run."""

    boxes: float
    scores: float


EXPORTED = {
    FPNLITE_320: Tolerances(boxes=6e-6 + WRITTEN, scores=2e-5 + WRITTEN),
    EFFICIENTDET_D0: Tolerances(boxes=8e-5 + WRITTEN, scores=5e-5 + WRITTEN),
}


@pytest.fixture
def synthetic(shared: Shared, tmp_path: pathlib.Path) -> Synthetic:
    """Writes a checkpoint as the model's zoo archive holds it and returns its folder."""

    def write(model_id: str) -> pathlib.Path:
        script, folder = shared("golden/make_checkpoint.py"), tmp_path / "synthetic"
        name = registry.load_registry().get(model_id).checkpoint.name
        subprocess.run([sys.executable, str(script), name, str(folder)], check=True, capture_output=True)
        return folder

    return write


@pytest.fixture
def blood_cells(shared: Shared, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with `training` (6 photographs of 640 x 480 pixels) and `validation` (2), all their boxes included."""
    folder = tmp_path / "cells"
    for source, target, count in (("train", "training", 6), ("validation", "validation", 2)):
        content = json.loads((shared(f"data/bccd/{source}") / "annotations.json").read_text())
        # From the third on: the first ones hold boxes of zero area, which other tests are about.
        content["images"] = content["images"][2 : 2 + count]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [box for box in content["annotations"] if box["image_id"] in kept]
        (folder / target / "images").mkdir(parents=True)
        (folder / target / "annotations.json").write_text(json.dumps(content))
        for image in content["images"]:
            name = image["file_name"]
            (folder / target / "images" / name).symlink_to(shared(f"data/bccd/{source}/images") / name)
    return folder


def fit(
    command: Command, model_id: str, start: pathlib.Path, data: pathlib.Path, model_dir: pathlib.Path
) -> tuple[Done, dict[str, Any]]:
    """One epoch; returns what the command printed, and metrics.json."""
    done = command(
        "fit",
        *("--model_id", model_id, "--pretrained", start, "--model_dir", model_dir, "--epochs", 1, "--batch_size", 2),
        *("--training", data / "training", "--validation", data / "validation"),
    )
    assert done.status == 0, done.error
    return done, read(model_dir / "metrics.json")


def read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text())


def policy_of(model_id: str) -> execution.ExecutionPolicy:
    return execution.choose(registry.load_registry().get(model_id), execution.processor_of_this_machine())


def losses(record: dict[str, Any]) -> dict[str, float]:
    return {name: record[f"val_{name}_loss"] for name in ("localization", "classification")}


def assert_trained_one_epoch(model_id: str, model_dir: pathlib.Path, done: Done, metrics: dict[str, Any]) -> None:
    """The artifact is whole, every figure finite, the execution the one that is chosen for this machine."""
    policy = policy_of(model_id)
    assert f"execution:  {policy}; 1 device\n" in done.output
    assert "training:   1 epochs, batch 2, " in done.output
    assert {path.name for path in model_dir.iterdir()} == ARTIFACT_FILES
    info, size = read(model_dir / "__model_info__.json"), registry.load_registry().get(model_id).input_size
    assert (info["model_name"], info["image_size"], info["finetuned"]) == (model_id, [size, size, 3], True)
    assert info["precision"] == policy.export_precision
    assert read(model_dir / "labels_info.json") == {"labels": ["N/A", *BLOOD_CELLS]}
    (epoch,) = metrics["history"]
    figures = [epoch["loss"], *losses(epoch).values(), *losses(metrics).values(), *losses(metrics["before"]).values()]
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)
    assert losses(metrics) == pytest.approx(losses(epoch), rel=1e-3), "the exported weights are those of the best epoch"
    assert losses(metrics) != losses(metrics["before"])
    assert set(metrics["per_class"]) <= set(BLOOD_CELLS)
    assert len(list((model_dir / "predictions").iterdir())) == 2


def assert_only_the_class_head_is_new(model_dir: pathlib.Path) -> None:
    restored = read(model_dir / "restore.json")
    assert restored["new_classes"] == BLOOD_CELLS
    assert restored["kept_classes"] == []
    assert len(restored["dropped_classes"]) == 80
    assert restored["totals"]["restored"]["variables"] > 300
    assert {"class_predictor" in key for key in restored["reinitialized"]} == {True}
    assert "class rows new:     RBC, WBC, Platelets\n" in (model_dir / "restore.txt").read_text()


def predict(
    command: Command, model_dir: pathlib.Path, output: pathlib.Path, *images: pathlib.Path
) -> list[dict[str, Any]]:
    """Runs an artifact on photographs; each gets a line and a picture of its own size."""
    done = command("predict", model_dir, *images, "--output_dir", output)
    assert done.status == 0, done.error
    lines = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in images]
    for path in images:
        with Image.open(path) as photograph, Image.open(output / f"{path.stem}.jpg") as picture:
            assert picture.size == photograph.size
    return lines


def assert_fill_the_photograph(line: dict[str, Any]) -> None:
    """Boxes lie within the photograph and reach far over it in both directions, as those of random weights do."""
    boxes_xyxy = np.array(line["normalized_boxes"])
    assert len(boxes_xyxy) == len(line["scores"]) == len(line["classes"]) == 100
    assert boxes_xyxy.min() >= 0
    assert boxes_xyxy.max() <= 1
    assert (boxes_xyxy[:, :2] < boxes_xyxy[:, 2:]).all()
    assert (boxes_xyxy[:, :2].min(axis=0) < 0.1).all()
    assert (boxes_xyxy[:, 2:].max(axis=0) > 0.9).all()


def test_retinanet_of_resnet50_trains_trains_on_and_serves(
    command: Command, synthetic: Synthetic, blood_cells: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    done, metrics = fit(command, RESNET50, synthetic(RESNET50), blood_cells, first)
    assert_trained_one_epoch(RESNET50, first, done, metrics)
    assert_only_the_class_head_is_new(first)

    done, trained_on = fit(command, RESNET50, first, blood_cells, second)
    assert_trained_one_epoch(RESNET50, second, done, trained_on)
    restored = read(second / "restore.json")
    assert restored["kept_classes"] == BLOOD_CELLS
    assert restored["new_classes"] == restored["dropped_classes"] == []
    assert restored["reinitialized"] == restored["unused"] == {}
    assert "class rows kept:    RBC, WBC, Platelets\n" in done.output
    assert losses(trained_on["before"]) == pytest.approx(losses(metrics), rel=1e-3)
    assert trained_on["before"]["AP"] == pytest.approx(metrics["AP"], abs=1e-3)

    done = command("evaluate", second, blood_cells / "validation", "--output_dir", tmp_path / "results")
    assert done.status == 0, done.error
    measured = read(tmp_path / "results" / "metrics.json")
    assert measured["AP"] == pytest.approx(trained_on["AP"], abs=0.01)
    assert measured["per_class"].keys() == trained_on["per_class"].keys()
    photograph = min((blood_cells / "validation" / "images").iterdir())
    (line,) = predict(command, second, tmp_path / "out", photograph)
    assert line["labels"] == ["N/A", *BLOOD_CELLS]
    assert set(line["class_names"]) <= set(BLOOD_CELLS)
    assert_fill_the_photograph(line)


def test_efficientdet_trains_and_finds_boxes_of_the_photograph_not_of_the_padded_square(
    command: Command, shared: Shared, synthetic: Synthetic, blood_cells: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model_dir = tmp_path / "model"
    done, metrics = fit(command, EFFICIENTDET_D0, synthetic(EFFICIENTDET_D0), blood_cells, model_dir)
    assert_trained_one_epoch(EFFICIENTDET_D0, model_dir, done, metrics)
    assert_only_the_class_head_is_new(model_dir)
    landscape = min((blood_cells / "validation" / "images").iterdir())
    portrait = shared("data/coco_permissive/images/000000000072.jpg")
    for line in predict(command, model_dir, tmp_path / "out", landscape, portrait):
        assert_fill_the_photograph(line)


@pytest.mark.parametrize("model_id", EXPORTED)
def test_epochs_0_exports_a_model_of_the_zoo_with_its_detections(
    model_id: str, command: Command, shared: Shared, synthetic: Synthetic, tmp_path: pathlib.Path
) -> None:
    done = command(
        "fit",
        *("--model_id", model_id, "--pretrained", synthetic(model_id), "--model_dir", tmp_path / "model"),
        *("--epochs", 0, "--export_precision", "float32"),
    )
    assert done.status == 0, done.error
    spec = registry.load_registry().get(model_id)
    labels = ["N/A", *(name or "N/A" for name in spec.class_names)]
    assert (len(labels), labels[11:14], labels[90]) == (91, ["fire hydrant", "N/A", "stop sign"], "toothbrush")
    assert read(tmp_path / "model" / "labels_info.json") == {"labels": labels}
    assert read(tmp_path / "model" / "__model_info__.json")["finetuned"] is False

    code = "import sys, PIL.Image, synthetic_weights; PIL.Image.fromarray(synthetic_weights.image()).save(sys.argv[1])"
    image = tmp_path / "image.png"
    subprocess.run([sys.executable, "-c", code, str(image)], cwd=shared("golden"), check=True)
    (line,) = predict(command, tmp_path / "model", tmp_path / "out", image)
    golden = np.load(shared(f"golden/{spec.checkpoint.name}/golden.npz"))
    expected = {name: golden[f"detections/detection_{name}"][0] for name in ("boxes", "classes", "scores")}
    assert line["labels"] == labels
    assert len(line["scores"]) == golden["detections/num_detections"][0]
    assert "N/A" in line["class_names"], "random weights find classes that the label map leaves out, too"
    assert_detections(line, expected, labels, EXPORTED[model_id])


def assert_detections(
    line: dict[str, Any], expected: dict[str, np.ndarray], labels: list[str], tolerances: Tolerances
) -> None:
    """Each expected detection is written once; those may miss that are no better than the last one."""
    boxes, scores = np.array(line["normalized_boxes"])[:, [1, 0, 3, 2]], np.array(line["scores"])
    classes, names = np.array(line["classes"]), np.array(line["class_names"])
    certain = expected["scores"] > scores[-1] + tolerances.scores
    assert certain.sum() >= 90
    for box, label, score in zip(*(expected[name][certain] for name in ("boxes", "classes", "scores")), strict=True):
        same = (classes == label + 1) & (names == labels[int(label) + 1])
        same &= np.abs(boxes - box).max(axis=1) <= tolerances.boxes
        same &= np.abs(scores - score) <= tolerances.scores
        assert same.sum() == 1, f"class {label} at {box} with score {score}"


def test_xla_compiles_the_network_where_it_is_asked_for(
    command: Command, drawn: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = command(
        "fit",
        *("--model_id", DEMO, "--training", drawn / "training", "--model_dir", tmp_path / "model"),
        *("--xla", True, "--batch_size", 2, "--dry_run"),
    )
    assert done.status == 0, done.error
    (line,) = (line for line in done.output.splitlines() if line.startswith("execution:"))
    assert ", batch norm folded, XLA; exported in " in line
    assert "went well; nothing was written" in done.output
    assert list(tmp_path.iterdir()) == []
