"""Writes everything that an artifact holds, and checks the exported model against the trained one."""

from __future__ import annotations

import dataclasses
import pathlib
import resource
import shutil
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from tfod_transfer import artifact, cli, drawing, errors
from tfod_transfer.data import addresses, image_files
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.training_data import TrainingData
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.evaluation.diagnosis import diagnose, iou_matrix
from tfod_transfer.execution import ExecutionPolicy
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.modeling import zoo_checkpoint
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.serving import inference, signatures
from tfod_transfer.serving.loaded import LoadedDetector
from tfod_transfer.training import reporting
from tfod_transfer.training.restoring import Restored
from tfod_transfer.training.results import TrainingResult
from tfod_transfer.training.run_identity import RunIdentity

CHECKED_IMAGES = 8
CHECKED_SCORE = 0.05
# Largest difference of a box's sides and of its score; fused operations of lower precision round elsewhere.
TOLERANCE = 1e-4
LOW_PRECISION_TOLERANCE = 0.05
PICTURES = 16
DRAWN_SCORE = 0.4


def export(
    folder: pathlib.Path,
    detector: Detector,
    restored: Restored,
    data: TrainingData | None,
    result: TrainingResult | None,
    settings: Hyperparameters,
    policy: ExecutionPolicy,
    identity: RunIdentity,
    events: pathlib.Path,
) -> list[str]:
    """Fills an artifact folder; returns a diagnosis of a run whose mAP stayed 0, else nothing.

    Raises:
      ArtifactError: the SavedModel does not give the trained detector's boxes.
    """
    info = artifact.ModelInfo(
        restored.spec.model_id,
        restored.spec.input_size,
        finetuned=settings.epochs > 0 and data is not None,
        class_names=restored.class_names,
        category_ids=restored.category_ids,
        precision=policy.export_precision,
        detection=dataclasses.replace(
            restored.spec.detection, nms_iou=settings.nms_threshold, nms_topk=settings.nms_topk
        ),
        max_pixels=settings.max_pixels,
        algorithm=restored.spec.algorithm,
        anchor_scale=restored.spec.structure.anchor_scale if restored.spec.scales_anchors else None,
    )
    try:
        signatures.save(signatures.serving_module(detector, info), folder / artifact.VERSION_FOLDER)
        zoo_checkpoint.save(detector, folder)
    except tf.errors.OpError as error:  # TensorFlow's own writing, for one on a full disk
        reason = cli.describe_tf_error(error)
        raise errors.ArtifactError(f"cannot write the model into {str(folder.parent)!r}: {reason}.") from None
    (folder / "restore.txt").write_text(restored.report.table() + "\n", encoding="utf-8")
    artifact.write_json(folder / "restore.json", {"origin": restored.origin, **restored.report.to_dict()})
    artifact.write_json(folder / "hyperparameters.json", settings.to_dict())
    artifact.write_json(folder / artifact.RUN_FILE, identity.values)
    diagnosis: list[str] = []
    if data is not None and result is not None:
        if result.history and result.final.metrics.ap == 0:
            diagnosis = diagnose(data.validation, result.detections)
        # GPUs round float32 products to TensorFloat-32.
        exact = {policy.precision, policy.export_precision} == {"float32"} and not tf.config.list_logical_devices("GPU")
        check(
            LoadedDetector(folder / artifact.VERSION_FOLDER),
            data.validation,
            result.detections,
            TOLERANCE if exact else LOW_PRECISION_TOLERANCE,
            rival_iou=None if exact else restored.spec.structure.nms_iou,
        )
        artifact.write_json(folder / "findings.json", data.findings)
        artifact.write_json(folder / "split.json", data.split)
        assessment = reporting.write(folder, restored, data, result, settings, policy, diagnosis)
        measured = {**assessment.to_dict(), **_metrics_record(result), "diagnosis": diagnosis}
        artifact.write_json(folder / "metrics.json", measured)
        _draw_predictions(folder / "predictions", data.validation, result.detections)
        if events.is_dir():
            shutil.copytree(events, folder / "tensorboard")
    (folder / artifact.CODE_FOLDER).mkdir()
    shutil.copyfile(inference.__file__, folder / artifact.CODE_FOLDER / "inference.py")
    artifact.write_info(folder, info)
    return diagnosis


def check(
    exported: LoadedDetector,
    dataset: DetectionDataset,
    expected: ImageDetections,
    tolerance: float = TOLERANCE,
    rival_iou: float | None = None,
) -> None:
    """Compares the SavedModel's detections on encoded images with those of the trained detector.

    Detections may miss that are, within the tolerance, no better than the last one of a full list.

    Args:
      exported: the SavedModel.
      dataset: its first images are looked at.
      expected: what the trained detector finds in the images of `dataset`.
      tolerance: largest difference of a box's normalised sides and of its score.
      rival_iou: boxes of a class that overlap by more compete in non-max suppression. Where rounding decides between
        them one may stand for the other, with a score within the tolerance; None: it may not.

    Raises:
      ArtifactError: a detection that counts has no counterpart within the tolerance.
    """
    paths = dataset.image_paths[:CHECKED_IMAGES]
    for image, found in enumerate(exported.detect_files(paths)):
        # A list that is not full ends with scores of 0.
        counted = expected.scores[image] >= max(CHECKED_SCORE, expected.scores[image, -1] + tolerance)
        boxes, classes = expected.boxes[image][counted], expected.classes[image][counted]
        for box, label, score in zip(boxes, classes, expected.scores[image][counted], strict=True):
            sides = np.abs(found.boxes[0] - box).max(axis=1)
            if rival_iou is not None:
                sides[iou_matrix(box[np.newaxis], found.boxes[0])[0] > rival_iou] = 0
            difference = np.maximum(sides, np.abs(found.scores[0] - score))
            nearest = float(difference[found.classes[0] == label].min(initial=np.inf))
            if nearest > tolerance:
                raise errors.ArtifactError(
                    f"the exported model differs from the trained one on {paths[image]!r}: for the box {box.tolist()} "
                    f"(score {score:.4f}) the nearest exported one is {nearest:.2g} away, expected at most {tolerance}."
                )


def _metrics_record(result: TrainingResult) -> dict[str, Any]:
    """How training went."""
    return {
        **result.final.losses(),
        "before": result.before.to_dict(),
        "best_epoch": result.best.epoch if result.best else None,
        "history": [epoch.to_dict() for epoch in result.history],
        "seconds": result.seconds,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def peak_memory_bytes() -> int:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _draw_predictions(folder: pathlib.Path, dataset: DetectionDataset, detections: ImageDetections) -> None:
    """Pictures of validation images: ground truth at the left, predictions at the right."""
    folder.mkdir()
    names = dataset.class_names
    for image in range(min(PICTURES, len(dataset))):
        path = dataset.image_paths[image]
        rows = dataset.rows_of(image)
        drawn = detections.scores[image] >= DRAWN_SCORE
        photograph = image_files.open_upright(path)
        picture = drawing.side_by_side(
            drawing.draw_boxes(photograph, dataset.boxes[rows], [names[c] for c in dataset.classes[rows]]),
            drawing.draw_boxes(
                photograph,
                detections.boxes[image][drawn],
                [names[c] for c in detections.classes[image][drawn]],
                detections.scores[image][drawn].tolist(),
            ),
        )
        picture.save(folder / f"{image:03d}_{pathlib.Path(addresses.name(path)).stem}.jpg", quality=88)
