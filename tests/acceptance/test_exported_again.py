"""An artifact exported anew, and what the other commands make of it."""

from __future__ import annotations

import json
import pathlib

import pytest
from running import ARTIFACT_FILES, DEMO, Command, Done

pytestmark = pytest.mark.acceptance


def test_the_exported_artifact_goes_through_every_command(
    command: Command, fitted: tuple[pathlib.Path, Done], drawn: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source, new = fitted[0], tmp_path / "new"
    flags = ["--max-detections", 3, "--score-threshold", 0.02, "--class-agnostic-nms", "--nms-iou", 0.5]
    done = command("export", source, "--output_dir", new, "--format", "savedmodel", *flags)
    assert done.status == 0, done.error
    assert "at most 3 boxes, scores above 0.02, overlap 0.5 among boxes of any class; float32" in done.output
    assert {path.name for path in new.iterdir()} == ARTIFACT_FILES - {"run.json"}
    assert (new / "metrics.json").read_bytes() == (source / "metrics.json").read_bytes()

    done = command("evaluate", new, drawn / "validation", "--output_dir", tmp_path / "results")
    assert done.status == 0, done.error
    assert "warning: this artifact was exported to answer with at most 3 boxes" in done.error
    measured, before = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "results", new))
    assert 0 < measured["AP"] <= before["AP"]

    done = command("predict", new, drawn / "validation" / "images", "--output_dir", tmp_path / "predictions")
    assert done.status == 0, done.error
    lines = (tmp_path / "predictions" / "predictions.jsonl").read_text().splitlines()
    scores = [json.loads(line)["scores"] for line in lines]
    assert max(map(len, scores)) == 3
    assert min(min(each) for each in scores if each) > 0.02

    on = ["--model_id", DEMO, "--epochs", 0, "--pretrained", new, "--model_dir", tmp_path / "on"]
    done = command("fit", *on)
    assert done.status == 0, done.error
    assert "detections: the pretrained artifact answers with at most 3 boxes" in done.output
    done = command("export", tmp_path / "on", "--output_dir", tmp_path / "on")
    assert done.status == 2
    assert "is not empty; choose another --output_dir or add --overwrite" in done.error


def test_other_anchors_go_with_the_weights(command: Command, drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """They are in no checkpoint: whoever builds the detector again has to know them."""
    data = ["--training", drawn / "training", "--validation", drawn / "validation"]
    first = tmp_path / "first"
    done = command("fit", "--model_id", DEMO, *data, "--epochs", 2, "--anchor_scale", 3, "--model_dir", first)
    assert done.status == 0, done.error
    expected = json.loads((first / "metrics.json").read_text())["AP"]
    assert expected > 0.05
    done = command("export", first, "--output_dir", tmp_path / "again")
    assert done.status == 0, done.error
    on = ["--model_id", DEMO, "--epochs", 0, "--pretrained", first, "--model_dir", tmp_path / "on"]
    done = command("fit", *on)
    assert done.status == 0, done.error
    for name in ("again", "on"):
        assert json.loads((tmp_path / name / "__model_info__.json").read_text())["anchor_scale"] == 3
        done = command("evaluate", tmp_path / name, drawn / "validation", "--output_dir", tmp_path / "results")
        assert done.status == 0, done.error
        found = json.loads((tmp_path / "results" / "metrics.json").read_text())["AP"]
        assert found == pytest.approx(expected, abs=1e-6)
