"""An artifact's SavedModel made again from the artifact's own checkpoint: with other options, without training."""

from __future__ import annotations

import pathlib
import shutil

import numpy as np
import tensorflow as tf

from tfod_transfer import artifact, checkpoint_files, errors
from tfod_transfer.artifact import Artifact, ModelInfo
from tfod_transfer.modeling import zoo_checkpoint
from tfod_transfer.modeling.detector import Detector, build_detector
from tfod_transfer.registry import ModelSpec
from tfod_transfer.serving import inference, signatures
from tfod_transfer.serving.loaded import LoadedDetector

# Largest difference of a score; in lower precision everything rounds elsewhere.
TOLERANCE = 1e-3
LOW_PRECISION_TOLERANCE = 0.1
_SAMPLES = (2, 96, 128, 3)
# The run that made the source did not make this one.
_NOT_COPIED = (artifact.VERSION_FOLDER, artifact.INFO_FILE, artifact.LABELS_FILE, artifact.RUN_FILE)


def restored_detector(source: Artifact, spec: ModelSpec) -> Detector:
    """The detector that an artifact was exported from.

    Raises:
      WeightsError: its checkpoint is missing.
      CheckpointError: its checkpoint is damaged, or of another model.
    """
    names = source.info.class_names
    detector = build_detector(spec, len(names))
    zoo_checkpoint.restore(
        detector,
        str(checkpoint_files.find(source.folder / artifact.CHECKPOINT_FOLDER)),
        checkpoint_class_names=names,
        class_names=names,
        reinitialize_top_layer="False",
    )
    return detector


def write(folder: pathlib.Path, source: Artifact, spec: ModelSpec, info: ModelInfo) -> None:
    """Fills `folder` with an artifact of the same weights that says `info` of itself.

    Raises:
      TransferError: as `restored_detector`; or the new SavedModel's scores are not those of the source.
    """
    saved_model = folder / artifact.VERSION_FOLDER
    try:
        signatures.save(signatures.serving_module(restored_detector(source, spec), info), saved_model)
    except tf.errors.OpError as error:  # TensorFlow's own writing, for one on a full disk
        reason = error.message.splitlines()[0]
        raise errors.ArtifactError(f"cannot write the model into {str(folder.parent)!r}: {reason}.") from None
    exact = {source.info.precision, info.precision} == {"float32"}
    check(
        LoadedDetector(saved_model),
        LoadedDetector(source.saved_model),
        TOLERANCE if exact else LOW_PRECISION_TOLERANCE,
    )
    for path in source.folder.iterdir():
        if path.is_dir() and path.name not in _NOT_COPIED:
            shutil.copytree(path, folder / path.name)
        elif path.name not in _NOT_COPIED:
            shutil.copy2(path, folder / path.name)
    code = folder / artifact.CODE_FOLDER
    code.mkdir(exist_ok=True)
    shutil.copyfile(inference.__file__, code / "inference.py")
    artifact.write_info(folder, info)


def check(new: LoadedDetector, old: LoadedDetector, tolerance: float) -> None:
    """Compares what two SavedModels say of each anchor, which options do not change, on random images.

    Raises:
      ArtifactError: they differ by more than `tolerance`.
    """
    images = np.random.default_rng(0).integers(0, 256, _SAMPLES).astype(np.uint8)
    expected, found = old.raw_scores(images), new.raw_scores(images)
    if expected is None or found is None:
        return
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
    if not difference <= tolerance:
        raise errors.ArtifactError(
            f"the new SavedModel's scores differ from the artifact's by {difference:.2g}, expected at most "
            f"{tolerance:g}: its checkpoint/ and its {artifact.VERSION_FOLDER}/ are not of one training; fit it again."
        )
