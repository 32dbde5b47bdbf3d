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
import pytest

from tfod_transfer import registry


@dataclasses.dataclass(frozen=True)
class Tolerances:
    """Largest absolute difference of raw outputs; "folded" rounds elsewhere than the reference does."""

    fused: float
    folded: float

    def of(self, policy: str) -> float:
        return getattr(self, policy)


# A new model with a golden file is one row here.
TOLERANCES = {
    "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8": Tolerances(fused=1e-5, folded=5e-4),
}


class Reference:
    """The golden files of one model and what they were computed from."""

    def __init__(self, spec: registry.ModelSpec, shared: Callable[[str], pathlib.Path]) -> None:
        self.spec, self._shared = spec, shared
        self.name = spec.checkpoint.name
        self._folder = shared("golden")
        if str(self._folder) not in sys.path:
            sys.path.append(str(self._folder))
        self._source = importlib.import_module("synthetic_weights")
        self.class_names = tuple(f"class {i}" for i in range(spec.num_classes))

    @property
    def tolerances(self) -> Tolerances:
        return TOLERANCES[self.name]

    @functools.cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        return dict(np.load(self._folder / self.name / "golden.npz"))

    @functools.cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads((self._folder / self.name / "summary.json").read_text())

    @functools.cached_property
    def training(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        file = self._folder / self.name / "train_golden.npz"
        if not file.exists():
            pytest.skip(f"no reference of a training step for {self.name}")
        return dict(np.load(file)), json.loads((self._folder / self.name / "train_summary.json").read_text())

    @functools.cached_property
    def preprocessed(self) -> dict[str, np.ndarray]:
        file = self._folder / "preprocess" / f"{self.name}.npz"
        if not file.exists():
            pytest.skip(f"no reference of preprocessing for {self.name}")
        return dict(np.load(file))

    def image(self, seed: int = 0) -> np.ndarray:
        return self._source.image(seed=seed)

    @property
    def ground_truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [4, 4] in the original image, classes [4]."""
        return self._source.GT_BOXES, self._source.GT_CLASSES

    def write_checkpoint(self, folder: pathlib.Path) -> str:
        importlib.import_module("make_checkpoint").write(self.name, str(folder))
        return str(folder / "checkpoint" / "ckpt-0")
