"""Makes a target of an artifact: converts its detector, tries it in the target's own runtime, writes what it is."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import shutil
import tempfile
from collections.abc import Callable

from tfod_transfer.artifact import Artifact, ModelInfo
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.demo import shapes
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.registry import ModelSpec
from tfod_transfer.serving import rebuilding, signatures
from tfod_transfer.serving.loaded import LoadedDetector
from tfod_transfer.targets import calibration, metadata, portable, runners, self_test
from tfod_transfer.targets.metadata import Target
from tfod_transfer.targets.options import MODEL_FILES, TargetOptions

DRAWN_IMAGES = 8
# What `evaluate` tells of how the model was made.
_RECORDS = ("hyperparameters.json", "restore.json")


def write(
    folder: pathlib.Path,
    source: Artifact,
    spec: ModelSpec,
    info: ModelInfo,
    options: TargetOptions,
    images: DetectionDataset | None,
    check: DetectionDataset | None,
) -> self_test.ApTest | self_test.BoxTest:
    """Fills `folder` with a target.

    Args:
      folder: an empty folder.
      source: the artifact.
      spec: its registry entry.
      info: what the target says of itself.
      options: what it shall be.
      images: what int8 is calibrated on.
      check: what AP is measured on; without it detections are compared, on the calibration images or drawn ones.

    Raises:
      TransferError: as `rebuilding.restored_detector`; the model cannot be converted; or it differs too much from the
        artifact's SavedModel.
    """
    detector = rebuilding.restored_detector(source, spec)
    description = metadata.describe(info, spec, options)
    chosen = None if images is None else calibration.spread(images.image_paths)
    if chosen is not None:
        description["calibration_images"] = len(chosen)
    given = None if chosen is None else functools.partial(calibration.pixels, chosen, info.max_pixels)
    function = portable.portable_function(detector, info.detection)
    content = _converter(options.format)(function, options.quantization, given, description)
    (folder / MODEL_FILES[options.format]).write_bytes(content)
    target = runners.load(Target(folder, info, options.format, options.quantization))
    with tempfile.TemporaryDirectory(prefix="tfod_transfer-") as scratch:
        savedmodel = _reference(source, detector, info, pathlib.Path(scratch))
        test: self_test.ApTest | self_test.BoxTest
        if check is not None:
            test = self_test.compare_ap(check, savedmodel, target)
        else:
            paths = calibration.spread(chosen, DRAWN_IMAGES) if chosen else _drawn(pathlib.Path(scratch))
            test = self_test.compare_boxes(paths, savedmodel, target)
    self_test.check(test, options, source.info.precision)
    for name in _RECORDS:
        if (source.folder / name).is_file():
            shutil.copy2(source.folder / name, folder / name)
    metadata.write(folder, description, test.to_dict())
    return test


def _converter(target_format: str) -> Callable[..., bytes]:
    if target_format == "tflite":
        from tfod_transfer.targets import tflite_model

        return tflite_model.convert
    from tfod_transfer.targets import onnx_model

    return onnx_model.convert


def _reference(source: Artifact, detector: Detector, info: ModelInfo, scratch: pathlib.Path) -> LoadedDetector:
    """The artifact's SavedModel; one of the same weights that picks as the target does where that one does not."""
    if info.detection == source.info.detection:
        return LoadedDetector(source.saved_model)
    module = signatures.serving_module(detector, dataclasses.replace(source.info, detection=info.detection))
    signatures.save(module, scratch / "1")
    return LoadedDetector(scratch / "1")


def _drawn(scratch: pathlib.Path) -> list[str]:
    shapes.generate(scratch / "drawn", shapes.SOURCE_CLASSES, DRAWN_IMAGES, seed=0)
    return sorted(str(path) for path in (scratch / "drawn" / "images").iterdir())
