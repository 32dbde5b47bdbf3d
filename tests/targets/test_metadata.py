"""What the folder of a target says of itself, and what reads it."""

from __future__ import annotations

import json
import pathlib

import pytest
from small_backbone import DEMO

from tfod_transfer import artifact, errors, registry
from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.serving import runnable
from tfod_transfer.targets import metadata
from tfod_transfer.targets.options import TargetOptions

INFO = artifact.ModelInfo(DEMO, 160, True, ("cat", None, "dog"), (7, 8, 9), "float32", DetectionOptions(20), 1000)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    spec = registry.load_registry().get(DEMO)
    options = TargetOptions("tflite", "int8", calibration="data")
    metadata.write(tmp_path, metadata.describe(INFO, spec, options), {"images": 3})
    (tmp_path / "model.tflite").touch()
    return tmp_path


def test_everything_is_read_back(folder: pathlib.Path) -> None:
    target = metadata.load(folder)
    assert target == metadata.Target(folder, INFO, "tflite", "int8")
    assert str(target) == "tflite, int8"
    record = json.loads((folder / "metadata.json").read_text())
    assert record["labels"] == ["N/A", "cat", "N/A", "dog"]
    assert record["input"]["default_shape"] == [1, 160, 160, 3]
    assert record["detections"]["nms_iou"] == 0.6  # the model's own
    assert record["self_test"] == {"images": 3}


def test_evaluate_and_predict_find_it_before_they_load_it(folder: pathlib.Path) -> None:
    found = runnable.exported(str(folder))
    assert (found.info, found.target) == (INFO, "tflite, int8")
    assert list(runnable.find(str(folder)).category_ids) == [7, 8, 9]
    with pytest.raises(errors.ArtifactError, match=r"model\.tflite' cannot be loaded .*; export the model again"):
        found.load()


@pytest.mark.parametrize("damaged", ["{", "{}", '{"model_info": {}}', "[]"])
def test_damage_is_told(folder: pathlib.Path, damaged: str) -> None:
    (folder / "metadata.json").write_text(damaged)
    with pytest.raises(errors.ArtifactError, match=r"metadata.json' is damaged .*; export the model again"):
        runnable.exported(str(folder))


def test_an_unknown_format_and_a_missing_model_are_told(folder: pathlib.Path) -> None:
    (folder / "model.tflite").unlink()
    with pytest.raises(errors.ArtifactError, match=r"has no model\.tflite"):
        metadata.load(folder)
    record = {**json.loads((folder / "metadata.json").read_text()), "format": "coreml"}
    (folder / "metadata.json").write_text(json.dumps(record))
    with pytest.raises(errors.ArtifactError, match="is damaged"):
        metadata.load(folder)
