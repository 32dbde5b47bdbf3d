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
    before = measured(command, source, data, tmp_path / "before")
    after = measured(command, new, data, tmp_path / "after")
    assert after.keys() == before.keys()
    assert after["AP"] == pytest.approx(before["AP"], abs=2e-3)
    assert [float(each) for each in line.groups()] == pytest.approx(
        [before["AP"], after["AP"], after["AP"] - before["AP"]], abs=1e-4
    )
    assert json.loads((new / "metadata.json").read_text())["self_test"]["target_ap"] == pytest.approx(after["AP"])
    for model, output in ((source, tmp_path / "of source"), (new, tmp_path / "of new")):
        done = command("predict", model, data / "images", "--output_dir", output, "--score_threshold", 0.05)
        assert done.status == 0, done.error
    first, second = ((tmp_path / name / "predictions.jsonl").read_text() for name in ("of source", "of new"))
    for one, other in zip(map(json.loads, first.splitlines()), map(json.loads, second.splitlines()), strict=True):
        assert one["labels"] == other["labels"]
        assert one["scores"][:5] == pytest.approx(other["scores"][:5], abs=1e-3)


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
