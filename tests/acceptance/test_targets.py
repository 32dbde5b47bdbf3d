"""An artifact as TensorFlow Lite and ONNX models, by the real commands, and what the other commands make of them."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from running import Command, Done

pytestmark = pytest.mark.acceptance
Fitted = tuple[pathlib.Path, Done]


def measured(command: Command, model: pathlib.Path, data: pathlib.Path, output: pathlib.Path) -> dict[str, float]:
    done = command("evaluate", model, data, "--output_dir", output)
    assert done.status == 0, done.error
    assert {path.name for path in output.iterdir()} == {"metrics.json", "report.html", "model_card.md"}
    metrics: dict[str, float] = json.loads((output / "metrics.json").read_text())
    return metrics


def test_an_onnx_model_is_evaluated_and_predicts_as_the_artifact_does(
    command: Command, fitted: Fitted, drawn: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source, new, data = fitted[0], tmp_path / "onnx", drawn / "validation"
    done = command("export", source, "--output_dir", new, "--format", "onnx", "--check", data)
    assert done.status == 0, done.error
    line = re.search(r"AP of the SavedModel (\S+), of the target (\S+), difference (\S+), on 24 images", done.output)
    assert line
    assert {path.name for path in new.iterdir()} == {
        *("model.onnx", "metadata.json", "hyperparameters.json", "restore.json")
    }
    before = json.loads((source / "metrics.json").read_text())  # of the same images
    after = measured(command, new, data, tmp_path / "after")
    assert after.keys() <= before.keys()
    assert [float(each) for each in line.groups()] == pytest.approx(
        [before["AP"], after["AP"], after["AP"] - before["AP"]], abs=2e-4
    )
    assert json.loads((new / "metadata.json").read_text())["self_test"]["target_ap"] == pytest.approx(after["AP"])

    done = command("predict", new, data / "images", "--output_dir", tmp_path / "predictions")
    assert done.status == 0, done.error
    lines = [json.loads(line) for line in (tmp_path / "predictions" / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    assert lines[0]["labels"] == json.loads((source / "labels_info.json").read_text())["labels"]
    assert lines[0]["scores"] == sorted(lines[0]["scores"], reverse=True)


def test_a_tflite_model_in_integers_is_kept_only_if_it_is_good_enough(
    command: Command, fitted: Fitted, drawn: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source, new = fitted[0], tmp_path / "tflite"
    flags = ["--format", "tflite", "--quantize", "int8", "--calibration", drawn / "training"]
    flags += ["--max_detections", 20, "--output_dir", new]
    done = command("export", source, *flags, "--check", drawn / "validation", "--tolerance", 0)
    assert done.status == 2
    assert re.fullmatch(r"error: the tflite model is not kept: AP differs by .*--tolerance\.\n", done.error)
    assert list(tmp_path.iterdir()) == []

    done = command("export", source, *flags)
    assert done.status == 0, done.error
    assert "no AP was compared; --check DATA measures it" in done.output
    assert re.search(r"best boxes that the SavedModel finds in 8 images, the target finds \d+", done.output)
    record = json.loads((new / "metadata.json").read_text())
    assert (record["quantization"], record["calibration_images"]) == ("int8", 48)
    assert record["detections"]["max_detections"] == 20
    metrics = measured(command, new, drawn / "validation", tmp_path / "results")
    kept = json.loads((source / "metrics.json").read_text())
    assert metrics["AP"] == pytest.approx(kept["AP"], abs=0.05)
