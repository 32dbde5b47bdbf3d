"""What the folder of a target says of itself: one JSON file beside the model, read back by `evaluate` and `predict`."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

import tfod_transfer
from tfod_transfer import artifact, errors
from tfod_transfer.artifact import ModelInfo
from tfod_transfer.data.normalization import NORMALIZATIONS
from tfod_transfer.registry import ModelSpec
from tfod_transfer.targets.options import MODEL_FILES, TargetOptions

METADATA_FILE = "metadata.json"
#: Under this name the model file holds the same, without the self-test.
KEY = "tfod_transfer"
INPUT = "image"
OUTPUTS = {
    "detection_boxes": "float32 [1, N, 4]: [ymin, xmin, ymax, xmax], 0..1 of the image",
    "detection_classes": "float32 [1, N]: 1-based; labels[int(class)] is the name",
    "detection_scores": "float32 [1, N]: 0..1, highest first; 0 marks padding",
    "num_detections": "float32 [1]: boxes that are no padding",
}
_QUANTIZATIONS = {
    None: "none: weights and arithmetic are float32",
    "float16": "weights and other constants are stored as float16; arithmetic is float32",
    "dynamic": "weights are stored as 8-bit integers; convolutions quantise their inputs when they run",
    "int8": "weights and arithmetic of the network are 8-bit integers; resize, box decoding, suppression are float32",
}


@dataclasses.dataclass(frozen=True)
class Target:
    """The folder of a target on disk.

    Attributes:
      folder: the folder.
      info: what is known of the model, as of an artifact.
      format: a key of `options.MODEL_FILES`.
      quantization: one of `options.QUANTIZATIONS` or None.
    """

    folder: pathlib.Path
    info: ModelInfo
    format: str
    quantization: str | None

    @property
    def model_file(self) -> pathlib.Path:
        return self.folder / MODEL_FILES[self.format]

    def __str__(self) -> str:
        return self.format + (f", {self.quantization}" if self.quantization else "")


def describe(info: ModelInfo, spec: ModelSpec, options: TargetOptions) -> dict[str, Any]:
    """What a model file of a format says of itself."""
    scale, offset = NORMALIZATIONS[spec.structure.normalization]
    overlap = spec.structure.nms_iou if info.detection.nms_iou is None else info.detection.nms_iou
    size = [1, info.image_size, info.image_size, 3]
    return {
        "model_id": info.model_id,
        "format": options.format,
        "quantization": options.quantization,
        "quantization_meaning": _QUANTIZATIONS[options.quantization],
        "labels": info.labels,
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": [1, "height", "width", 3],
            "default_shape": size if options.format == "tflite" else None,
            "meaning": "RGB from 0 to 255, upright, of any height and width; no scaling, no padding",
        },
        "outputs": OUTPUTS,
        "inside": {
            "resize": f"to {info.image_size} x {info.image_size}, bilinear: output pixel i shows the input at "
            "i * input side / output side; "
            + ("stretched" if spec.resizer == "fixed" else "in proportion, padded at the bottom or right"),
            "scaling": {"of": "RGB from 0 to 255: scale * value + offset", "scale": scale, "offset": offset},
            "box_decoding": "yes",
            "non_max_suppression": "of any class" if info.detection.class_agnostic_nms else "per class",
        },
        "outside": ["decoding of JPEG and PNG", "turning upright by the EXIF orientation"],
        "detections": {**info.detection.to_dict(), "nms_iou": overlap},
        "model_info": info.to_dict(),
        "tfod_transfer_version": tfod_transfer.__version__,
    }


def write(folder: pathlib.Path, description: dict[str, Any], self_test: dict[str, Any]) -> None:
    """Writes METADATA_FILE: the last act of an export."""
    artifact.write_json(folder / METADATA_FILE, {**description, "self_test": self_test})


def is_target(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is that of a target."""
    return pathlib.Path(folder, METADATA_FILE).is_file()


def load(folder: str | os.PathLike[str]) -> Target:
    """Reads what a target says of itself.

    Raises:
      ArtifactError: it is damaged, or the model file is missing.
    """
    path = pathlib.Path(folder)
    try:
        record = json.loads((path / METADATA_FILE).read_text(encoding="utf-8"))
        info = ModelInfo.from_dict(record["model_info"])
        target = Target(path, info, record["format"], record["quantization"])
        model_file = target.model_file
    except (ValueError, KeyError, TypeError, errors.UsageError) as error:
        raise errors.ArtifactError(
            f"{str(path / METADATA_FILE)!r} is damaged ({error!r}); export the model again."
        ) from None
    if not model_file.is_file():
        raise errors.ArtifactError(f"{str(path)!r} has no {model_file.name}; export the model again.")
    return target
