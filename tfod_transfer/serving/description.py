"""What a SavedModel says of itself, in its own assets: labels, box orders, preprocessing, how detections are picked."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import tfod_transfer
from tfod_transfer.data.normalization import NORMALIZATIONS
from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.registry import ModelSpec

LABELS_FILE = "labels.txt"
MODEL_FILE = "model.json"

_ENCODED = "string [B]: a whole JPEG or PNG file each, of any size; upright by its EXIF orientation"
_PIXELS = "uint8 [B, H, W, 3]: RGB, upright, of any height and width"
_ANSWER = {
    "normalized_boxes": "float32 [B, N, 4]: [xmin, ymin, xmax, ymax], 0..1 of the upright image",
    "classes": "float32 [B, N]: 1-based; labels[int(class)] is the name",
    "scores": "float32 [B, N]: 0..1, highest first; 0 marks padding",
    "labels": 'string [B, K + 1]: the whole list for each image, "N/A" first',
    "image_size": "int32 [B, 2]: height and width of the upright image in pixels; 0 where it is bad",
    "status": "string [B]: empty for a good image, else what is wrong with it; its scores are then 0",
}
SIGNATURES: dict[str, dict[str, dict[str, str]]] = {
    "serving_default": {"inputs": {"image_bytes": _ENCODED}, "outputs": _ANSWER},
    "image_tensor": {"inputs": {"images": _PIXELS}, "outputs": _ANSWER},
    "detection": {
        "inputs": {"input_tensor": _PIXELS},
        "outputs": {
            "detection_anchor_indices": "float32 [B, N]: the anchor that each box comes from",
            "detection_boxes": "float32 [B, N, 4]: [ymin, xmin, ymax, xmax], 0..1 of the image",
            "detection_classes": "float32 [B, N]: 1-based",
            "detection_multiclass_scores": "float32 [B, N, slots]: all scores of each box",
            "detection_scores": "float32 [B, N]: 0..1, highest first; 0 marks padding",
            "num_detections": "float32 [B]: boxes that are no padding",
            "raw_detection_boxes": "float32 [B, A, 4]: before suppression, y first, of the square input",
            "raw_detection_scores": "float32 [B, A, slots]: before suppression",
        },
    },
}


@dataclasses.dataclass(frozen=True)
class Description:
    """What is told.

    Attributes:
      spec: of the detector.
      labels: 1-based, "N/A" first and at holes.
      options: how detections are picked.
      max_pixels: encoded images with more are refused.
      precision: number format that the network computes in.
    """

    spec: ModelSpec
    labels: Sequence[str]
    options: DetectionOptions
    max_pixels: int
    precision: str

    def to_dict(self) -> dict[str, Any]:
        spec = self.spec
        scale, offset = NORMALIZATIONS[spec.structure.normalization]
        overlap = spec.structure.nms_iou if self.options.nms_iou is None else self.options.nms_iou
        return {
            "model_id": spec.model_id,
            "labels": list(self.labels),
            "signatures": SIGNATURES,
            "preprocessing": {
                "where": "inside: send images as they are",
                "max_pixels": self.max_pixels,
                "input_size": [spec.input_size, spec.input_size, 3],
                "resize": "stretched to the square"
                if spec.resizer == "fixed"
                else "as it is in proportion, padded at the bottom or right",
                "interpolation": "bilinear, output pixel i shows the input at i * input side / output side",
                "network_input": {"scale": scale, "offset": offset, "of": "RGB from 0 to 255: scale * value + offset"},
            },
            "detections": {**self.options.to_dict(), "nms_iou": overlap},
            "background_slot": spec.structure.background_slot,
            "precision": self.precision,
            "tfod_transfer_version": tfod_transfer.__version__,
        }


def write(folder: pathlib.Path, description: Description) -> list[pathlib.Path]:
    """Writes the labels, one a line from number 0, and all of it as JSON; returns both files."""
    labels, model = folder / LABELS_FILE, folder / MODEL_FILE
    lines = [" ".join(label.split()) for label in description.labels]
    labels.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model.write_text(json.dumps(description.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [labels, model]
