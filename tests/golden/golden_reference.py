"""Which models have reference tensors, how near to them ours must come, and the tensors."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import synthetic_checkpoint

from tfod_transfer import registry

# Of models without golden files in the folder `shared`; `make_reference.py` made them.
OWN = pathlib.Path(__file__).parent / "reference"


@dataclasses.dataclass(frozen=True)
class Tolerances:
    """Largest differences, two to three times what was measured with TensorFlow 2.17 on a CPU with AVX-512.

    Attributes:
      raw: absolute, of feature maps, box encodings and class logits.
      boxes: absolute, of the normalised boxes of detections.
      scores: absolute, of the scores of detections.
      losses: relative, of the two losses.
    """

    raw: float
    boxes: float
    scores: float
    losses: float


@dataclasses.dataclass(frozen=True)
class TrainingTolerances:
    """The same for a training step.

    Attributes:
      raw: absolute, of box encodings and class logits.
      losses: relative, of the losses.
      norms: of the norms of gradients, relative for large ones and absolute for small ones.
      gradients: relative to each gradient's largest value.
    """

    raw: float
    losses: float
    norms: float
    gradients: float


@dataclasses.dataclass(frozen=True)
class ModelTolerances:
    """Tolerances of two runs: the nearest to the reference, and what users run, which rounds elsewhere.

    In a deep network of random weights rounding grows, in the deepest by a factor of a million.

    Attributes:
      fused: normalised before the resize, batch norm after the convolution, as the reference does.
      folded: raw pixels resized, batch norm folded into the convolution.
      training: of a step with batch statistics; None: no reference.
    """

    fused: Tolerances
    folded: Tolerances
    training: TrainingTolerances | None = None


# A new model with reference tensors is one row here.
TOLERANCES = {
    "ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=6e-5, boxes=4e-7, scores=2e-6, losses=5e-7),
        folded=Tolerances(raw=1e-3, boxes=4e-6, scores=2e-5, losses=2e-6),
    ),
    "ssd_mobilenet_v2_320x320_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=1e-5, boxes=4e-7, scores=5e-7, losses=5e-7),
        folded=Tolerances(raw=3e-5, boxes=6e-7, scores=2e-6, losses=2e-6),
        training=TrainingTolerances(raw=1e-5, losses=1e-6, norms=5e-5, gradients=1e-5),
    ),
    "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=1e-5, boxes=4e-7, scores=1e-6, losses=5e-7),
        folded=Tolerances(raw=6e-4, boxes=6e-6, scores=2e-5, losses=1e-5),
        training=TrainingTolerances(raw=1e-5, losses=1e-6, norms=5e-5, gradients=1e-5),
    ),
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=1e-5, boxes=4e-7, scores=2e-7, losses=1e-6),
        folded=Tolerances(raw=3e-5, boxes=6e-7, scores=2e-7, losses=3e-6),
    ),
    "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=3e-4, boxes=2e-6, scores=2e-5, losses=5e-7),
        folded=Tolerances(raw=3e-3, boxes=3e-5, scores=2e-4, losses=6e-6),
        training=TrainingTolerances(raw=1e-5, losses=1e-6, norms=1e-5, gradients=2e-4),
    ),
    "ssd_resnet50_v1_fpn_1024x1024_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=5e-4, boxes=4e-6, scores=2e-5, losses=5e-6),
        folded=Tolerances(raw=6e-3, boxes=4e-5, scores=2e-4, losses=6e-6),
    ),
    "ssd_resnet101_v1_fpn_640x640_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=1e-4, boxes=4e-7, scores=1e-5, losses=1e-6),
        folded=Tolerances(raw=1e-4, boxes=6e-7, scores=1e-5, losses=2e-6),
    ),
    "ssd_resnet101_v1_fpn_1024x1024_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=6e-3, boxes=5e-5, scores=2e-4, losses=2e-5),
        folded=Tolerances(raw=1e-1, boxes=7e-4, scores=2e-3, losses=4e-4),
    ),
    "ssd_resnet152_v1_fpn_640x640_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=2e-2, boxes=2e-4, scores=2e-3, losses=2e-4),
        folded=Tolerances(raw=4e-1, boxes=5e-3, scores=3e-2, losses=5e-3),
    ),
    "ssd_resnet152_v1_fpn_1024x1024_coco17_tpu-8": ModelTolerances(
        fused=Tolerances(raw=8e-5, boxes=4e-7, scores=1e-5, losses=5e-7),
        folded=Tolerances(raw=1e-4, boxes=4e-7, scores=1e-5, losses=1e-6),
    ),
    "efficientdet_d0_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=3e-4, boxes=6e-5, scores=5e-5, losses=6e-5),
        folded=Tolerances(raw=4e-4, boxes=8e-5, scores=5e-5, losses=8e-5),
        # BiFPN's weights: what is left of sums that nearly cancel. Another rounding of the images moves them by 4 %.
        training=TrainingTolerances(raw=6e-4, losses=2e-5, norms=5e-4, gradients=2e-3),
    ),
    "efficientdet_d1_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=6e-4, boxes=8e-5, scores=5e-6, losses=6e-5),
        folded=Tolerances(raw=1e-3, boxes=2e-4, scores=6e-6, losses=1e-4),
    ),
    "efficientdet_d2_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=2e-6, boxes=4e-7, scores=1e-7, losses=5e-7),
        folded=Tolerances(raw=2e-6, boxes=4e-7, scores=1e-7, losses=5e-7),
    ),
    "efficientdet_d3_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=3e-3, boxes=1e-3, scores=2e-5, losses=7e-5),
        folded=Tolerances(raw=5e-3, boxes=1e-3, scores=2e-5, losses=2e-4),
    ),
    "efficientdet_d4_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=2e-6, boxes=4e-7, scores=1e-7, losses=5e-7),
        folded=Tolerances(raw=2e-6, boxes=6e-7, scores=1e-7, losses=5e-7),
    ),
    "efficientdet_d5_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=3e-5, boxes=4e-6, scores=1e-6, losses=1e-6),
        folded=Tolerances(raw=5e-5, boxes=8e-6, scores=2e-6, losses=1e-6),
    ),
    "efficientdet_d6_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=2e-5, boxes=3e-6, scores=6e-7, losses=1e-6),
        folded=Tolerances(raw=2e-5, boxes=5e-6, scores=6e-7, losses=1e-6),
    ),
    "efficientdet_d7_coco17_tpu-32": ModelTolerances(
        fused=Tolerances(raw=1e-5, boxes=5e-6, scores=6e-7, losses=1e-6),
        folded=Tolerances(raw=2e-5, boxes=8e-6, scores=1e-6, losses=2e-6),
    ),
}


class Reference:
    """The reference tensors of one model and what they were computed from."""

    def __init__(self, spec: registry.ModelSpec, shared: Callable[[str], pathlib.Path]) -> None:
        self.spec, self.name = spec, spec.checkpoint.name
        self._golden, self._keys = shared("golden"), shared("zoo/keys") / f"{self.name}.json"
        if str(self._golden) not in sys.path:
            sys.path.append(str(self._golden))
        self._source = importlib.import_module("synthetic_weights")
        self.class_names = tuple(f"class {i}" for i in range(spec.num_classes))
        folder = self._golden / self.name
        self._is_own = not (folder / "golden.npz").exists()
        self._files = {
            "tensors": OWN / f"{self.name}.npz" if self._is_own else folder / "golden.npz",
            "summary": OWN / f"{self.name}.json" if self._is_own else folder / "summary.json",
            "training": OWN / f"{self.name}.training.npz" if self._is_own else folder / "train_golden.npz",
            "training summary": OWN / f"{self.name}.training.json" if self._is_own else folder / "train_summary.json",
        }

    @property
    def exists(self) -> bool:
        return self._files["tensors"].exists()

    @property
    def tolerances(self) -> ModelTolerances:
        return TOLERANCES[self.name]

    @functools.cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        return dict(np.load(self._files["tensors"]))

    @functools.cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads(self._files["summary"].read_text())

    @functools.cached_property
    def training(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return dict(np.load(self._files["training"])), json.loads(self._files["training summary"].read_text())

    @functools.cached_property
    def preprocessed(self) -> dict[str, np.ndarray]:
        return dict(np.load(self._golden / "preprocess" / f"{self.name}.npz"))

    def image(self, seed: int = 0) -> np.ndarray:
        return self._source.image(seed=seed)

    @property
    def training_images(self) -> np.ndarray:
        """The batch of the training step: an image, and another one mirrored."""
        return np.stack([self.image(seed=0), self.image(seed=1)[:, ::-1]])

    @property
    def ground_truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [4, 4] in the original image, classes [4]."""
        return self._source.GT_BOXES, self._source.GT_CLASSES

    def part(self, x: np.ndarray, name: str) -> np.ndarray:
        """The part of a feature map [1, H, W, C] that the reference keeps under `name`."""
        x = x[0]
        if self._is_own:
            step = -(-x.shape[0] // 4)
            return x[::step, ::step, :32]
        is_feature_map = name.startswith("feature_map")
        if not (is_feature_map and x.shape[0] <= 10):
            x = x[::4, ::4, : 32 if is_feature_map else 16]
        return x[::2, ::2] if x.size >= 20_000 else x

    def weights(self) -> dict[str, np.ndarray]:
        """Every tensor of the checkpoint that the reference was computed from, by key."""
        if self._keys.exists():
            return dict(importlib.import_module("make_checkpoint").tensors(self.name))
        return synthetic_checkpoint.tensors(self.name, json.loads(str(self.tensors["checkpoint_shapes"])))

    def write_checkpoint(self, folder: pathlib.Path) -> str:
        """Writes the weights in the layout of a zoo archive and returns the prefix."""
        import tensorflow as tf

        weights, prefix = self.weights(), folder / "checkpoint" / "ckpt-0"
        prefix.parent.mkdir()
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=list(weights),
            shape_and_slices=[""] * len(weights),
            tensors=[tf.constant(value) for value in weights.values()],
        )
        return str(prefix)
