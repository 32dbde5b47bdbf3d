"""What decides the result of a run: two runs with the same identity end with the same weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from tfod_transfer import authenticity
from tfod_transfer.data import addresses
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.training_data import TrainingData
from tfod_transfer.hyperparameters import FIELDS, Hyperparameters
from tfod_transfer.weights import PretrainedSource


@dataclasses.dataclass(frozen=True)
class RunIdentity:
    """Everything that decides a result, by name, as JSON values."""

    values: dict[str, Any]

    def differences(self, earlier: RunIdentity) -> list[str]:
        """A line for each value that is not the same in an earlier run: what it was, what it is."""
        names = [*self.values, *(name for name in earlier.values if name not in self.values)]
        pairs = {name: (earlier.values.get(name), self.values.get(name)) for name in names}
        return [f"{name}: was {_shown(was)}, is {_shown(now)}" for name, (was, now) in pairs.items() if was != now]


def identity_of(
    model_id: str, settings: Hyperparameters, data: TrainingData | None, pretrained: PretrainedSource | None
) -> RunIdentity:
    """Returns the identity of a run."""
    chosen = {name: value for name, value in settings.to_dict().items() if FIELDS[name].metadata["decides"]}
    values = {
        "model_id": model_id,
        "pretrained": "random weights" if pretrained is None else _checkpoint_digest(pretrained.prefix),
        **chosen,
        "training": data_digest(data.train) if data else None,
        "validation": data_digest(data.validation) if data else None,
    }
    return RunIdentity(json.loads(json.dumps(values)))


def data_digest(dataset: DetectionDataset) -> dict[str, Any]:
    """Counts of a data set and a digest of its annotations and of the names and sizes of its files."""
    digest = hashlib.sha256()
    for column in ("sizes", "orientations", "boxes", "classes", "is_crowd", "offsets"):
        digest.update(np.ascontiguousarray(getattr(dataset, column)).tobytes())
    files = [(addresses.name(path), addresses.size(path)) for path in dataset.image_paths]
    digest.update(json.dumps([files, dataset.class_names, dataset.category_ids]).encode())
    return {"images": len(dataset), "boxes": dataset.num_boxes, "digest": digest.hexdigest()[:16]}


def _checkpoint_digest(prefix: str) -> str:
    """Of a checkpoint's index, which holds the CRC of every tensor; of an .h5 as a whole."""
    index = pathlib.Path(f"{prefix}.index")
    return authenticity.file_sha256(index if index.is_file() else pathlib.Path(prefix))[:16]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" if name != "digest" else str(number) for name, number in value.items())
    return "not there" if value is None else str(value)
