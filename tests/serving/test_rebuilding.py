"""An artifact made again from its own checkpoint, with other options."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest

from tfod_transfer import artifact, errors, registry
from tfod_transfer.artifact import Artifact
from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.modeling import zoo_checkpoint
from tfod_transfer.modeling.detector import build_detector
from tfod_transfer.serving import rebuilding
from tfod_transfer.serving.loaded import LoadedDetector

OPTIONS = DetectionOptions(max_detections=7, score_threshold=0.3, nms_iou=0.3, class_agnostic_nms=True)


def rebuilt(folder: pathlib.Path, source: Artifact, **changes: object) -> Artifact:
    folder.mkdir()
    spec = registry.load_registry().get(source.info.model_id)
    rebuilding.write(folder, source, spec, dataclasses.replace(source.info, **changes))
    return artifact.load(folder)


def test_options_change_the_answers_and_nothing_else(
    demo_artifact: Artifact, photographs: list[bytes], tmp_path: pathlib.Path
) -> None:
    new = rebuilt(tmp_path / "new", demo_artifact, detection=OPTIONS, max_pixels=150 * 150)
    assert new.info.detection == OPTIONS
    assert dataclasses.replace(new.info, detection=DetectionOptions(), max_pixels=50_000_000) == demo_artifact.info
    old_answer = LoadedDetector(demo_artifact.saved_model).answer(photographs)
    answer = LoadedDetector(new.saved_model).answer(photographs)
    assert answer["scores"].shape == (3, 7)
    assert [bool(status) for status in answer["status"]] == [True, True, False]  # larger than 150 x 150; 97 x 131
    present = answer["scores"][2] > 0
    assert 0 < present.sum() < (old_answer["scores"][2] > 0.05).sum()
    assert answer["scores"][2][present].min() > 0.3
    # The best box of all is the best one in either way.
    np.testing.assert_allclose(answer["normalized_boxes"][2, 0], old_answer["normalized_boxes"][2, 0], atol=1e-5)
    boxes = answer["normalized_boxes"][2][present]
    assert all(overlap(boxes[i], boxes[j]) <= 0.31 for i in range(len(boxes)) for j in range(i))

    again = rebuilt(tmp_path / "again", new, detection=demo_artifact.info.detection, max_pixels=50_000_000)
    for name, value in LoadedDetector(again.saved_model).answer(photographs).items():
        assert value.tolist() == old_answer[name].tolist(), name


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes [xmin, ymin, xmax, ymax]."""
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    both = float(np.prod(sides))
    return both / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


def test_a_checkpoint_of_another_training_is_refused(demo_artifact: Artifact, tmp_path: pathlib.Path) -> None:
    spec = registry.load_registry().get(demo_artifact.info.model_id)
    other = tmp_path / "other"
    other.mkdir()
    (other / "1").symlink_to(demo_artifact.saved_model)
    detector = build_detector(spec, spec.num_classes, seed=3)
    zoo_checkpoint.save(detector, other)
    artifact.write_info(other, demo_artifact.info)
    with pytest.raises(errors.ArtifactError, match="are not of one training"):
        rebuilt(tmp_path / "new", artifact.load(other))


def test_an_image_that_cannot_be_read_is_named(demo_artifact: Artifact, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "half.jpg"
    path.write_bytes(b"\xff\xd8\xff and no more")
    detector = LoadedDetector(demo_artifact.saved_model)
    with pytest.raises(errors.DataError, match=r"half\.jpg: this JPEG image is damaged"):
        list(detector.detect_files([str(path)]))
    with pytest.raises(errors.DataError, match="image 0: the image is empty"):
        detector([b""])
