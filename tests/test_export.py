"""What `export` says before it needs TensorFlow."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from tfod_transfer import artifact, cli, errors, export
from tfod_transfer.detection_options import DetectionOptions


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    """An artifact without a model in it."""
    folder = tmp_path / "artifact"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "saved_model.pb").touch()
    info = artifact.ModelInfo("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8", 320, True, ("a",), (1,))
    artifact.write_info(folder, info)
    return folder


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max_detections", "0"], "max_detections: expected a whole number of at least 1, found 0"),
        (["--score_threshold", "1"], "score_threshold: expected a number from 0 to below 1, found 1.0"),
        (["--nms_iou", "-0.1"], "nms_iou: expected a number from 0 to 1, found -0.1"),
        (["--nms_iou", "nan"], "nms_iou: expected a number from 0 to 1, found nan"),
        (["--nms_topk", "0"], "nms_topk: expected a whole number of at least 1, found 0"),
        (["--nms_topk", "9"], "all boxes compete in non-max suppression: no nms_topk"),
        (["--format", "savedmodle"], "--format: invalid choice: 'savedmodle'"),
        (["--class_agnostic_nms", "perhaps"], "invalid choice: 'perhaps'"),
        (["--max_detection", "3"], "Did you mean '--max_detections'"),
        (["--precision", "float16"], "invalid choice: 'float16'"),
        (["--format", "tflite", "--quantize", "int4"], "--quantize: invalid choice: 'int4'"),
        (["--format", "tflite", "--quantize", "int8"], "--quantize int8 needs --calibration DATA"),
        (["--format", "onnx", "--calibration", "data"], "--calibration goes with --quantize int8"),
        (["--format", "onnx", "--tolerance", "2"], "tolerance: expected a number from 0 to 1, found 2.0"),
        (["--format", "onnx", "--precision", "bfloat16"], "--precision goes with --format savedmodel"),
        (["--quantize", "float16"], "--quantize goes with --format tflite or onnx"),
        (["--check", "data"], "--check goes with --format tflite or onnx"),
        (["--format", "tflite", "--check", "no_such_folder"], "no_such_folder"),
    ],
)
def test_wrong_flags(
    source: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    try:
        status = cli.run(export.main, [str(source), "--output_dir", str(tmp_path / "new"), *flags])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["artifact", "note.txt"])
def test_nothing_is_replaced_unasked(
    source: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    target = tmp_path / "there"
    target.mkdir()
    (target / artifact.INFO_FILE).touch()
    if name == "artifact":
        (target / artifact.RUN_FILE).write_text("{}")
    assert cli.run(export.main, [str(source), "--output_dir", str(target)]) == 2
    assert "is not empty; choose another" in capsys.readouterr().err


def test_no_such_artifact(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(export.main, [str(tmp_path / "none"), "--output_dir", str(tmp_path / "new")]) == 2
    assert "no artifact folder" in capsys.readouterr().err


def test_options_are_recorded(source: pathlib.Path) -> None:
    options = DetectionOptions(max_detections=20, nms_iou=0.5, class_agnostic_nms=True)
    info = artifact.load(source).info
    assert info.detection == DetectionOptions()
    changed = dataclasses.replace(info, detection=options, max_pixels=7)
    artifact.write_info(source, changed)
    assert artifact.load(source).info == changed
    assert "at most 20 boxes" in str(options)


def test_an_earlier_artifact_has_the_defaults(source: pathlib.Path) -> None:
    info = artifact.load(source).info
    record = {name: value for name, value in info.to_dict().items() if name not in ("detection", "max_pixels")}
    artifact.write_json(source / artifact.INFO_FILE, record)
    assert artifact.load(source).info == info


@pytest.mark.parametrize("detection", [{"max_detections": 0}, {"boxes": 3}, None])
def test_damaged_options_are_told(source: pathlib.Path, detection: object) -> None:
    record = {**artifact.load(source).info.to_dict(), "detection": detection}
    artifact.write_json(source / artifact.INFO_FILE, record)
    with pytest.raises(errors.ArtifactError, match="is damaged"):
        artifact.load(source)


def test_training_on_from_it_says_what_is_left_behind(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    checkpoint = source / artifact.CHECKPOINT_FOLDER
    assert artifact.info_beside(checkpoint) == artifact.load(source).info
    assert artifact.info_beside(tmp_path / "elsewhere" / "checkpoint") is None
    assert artifact.left_behind(artifact.load(source).info) == artifact.left_behind(None) == []
    info = dataclasses.replace(artifact.load(source).info, detection=DetectionOptions(max_detections=20))
    artifact.write_info(source, info)
    [line] = artifact.left_behind(info)
    assert "at most 20 boxes" in line
    (source / artifact.INFO_FILE).write_text('{"model_name": "of another program"}')
    assert artifact.info_beside(checkpoint) is None


@pytest.mark.parametrize("content", ["{", "3", '{"tfod_transfer_version": "1", "model_id": 5}'])
def test_training_on_from_a_damaged_one_is_refused(source: pathlib.Path, content: str) -> None:
    (source / artifact.INFO_FILE).write_text(content)
    with pytest.raises(errors.ArtifactError, match="is damaged"):
        artifact.info_beside(source / artifact.CHECKPOINT_FOLDER)


@pytest.mark.parametrize(
    ("options", "cautions"),
    [
        (DetectionOptions(), 0),
        (DetectionOptions(max_detections=300, score_threshold=0, nms_iou=0.5), 0),
        (DetectionOptions(max_detections=99), 1),
        (DetectionOptions(score_threshold=0.01), 1),
    ],
)
def test_metrics_of_a_part_are_announced(options: DetectionOptions, cautions: int) -> None:
    assert len(options.cautions()) == cautions
