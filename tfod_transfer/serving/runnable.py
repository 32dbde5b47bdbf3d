"""What `predict` and `evaluate` run: an artifact, a target made of one, or a finished model under its model_id.

TensorFlow is imported on loading.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from tfod_transfer import artifact, errors, execution, registry, saved_models
from tfod_transfer.artifact import ModelInfo
from tfod_transfer.targets import metadata

if TYPE_CHECKING:
    from tfod_transfer.evaluation.coco_metrics import ImageDetections


class Detector(Protocol):
    """Runs on image files."""

    def detect_files(self, paths: Sequence[str]) -> Iterator[ImageDetections]:
        """Yields the detections of each file, arrays with a first dimension of 1."""


@dataclasses.dataclass(frozen=True)
class Runnable:
    """A model that can be run.

    Attributes:
      labels: 1-based, "N/A" first and at holes.
      category_ids: of each class 0..K-1, as its training annotations have them.
      algorithm: SageMaker's name of the algorithm in whose form it answers.
      load: gets it, from the network if need be, and loads it.
    """

    labels: list[str]
    category_ids: Sequence[int | str]
    load: Callable[[], Detector]
    algorithm: str = ""


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export left: an artifact, or a target for another runtime.

    Attributes:
      folder: where it lies.
      info: what it says of itself.
      target: format and quantisation of a target; None for an artifact.
      load: loads the model.
    """

    folder: pathlib.Path
    info: ModelInfo
    target: str | None
    load: Callable[[], Detector]


def exported(folder: str) -> Exported:
    """Finds an artifact or a target without loading it.

    Raises:
      ArtifactError: it is neither, or damaged.
    """
    if not metadata.is_target(folder):
        return _artifact(artifact.load(folder))
    target = metadata.load(folder)

    def load() -> Detector:
        from tfod_transfer.targets import runners

        return runners.load(target)

    return Exported(target.folder, target.info, str(target), load)


def find(model: str, pretrained: str | None = None) -> Runnable:
    """Finds a model without loading it.

    Args:
      model: the folder of an artifact or a target, or the model_id of a model that can only be run.
      pretrained: where the SavedModel of a model_id is, instead of in the cache or on TensorFlow Hub.

    Raises:
      UsageError: both do not go together, or `model` must be exported before it can be run.
      ArtifactError: `model` is neither an artifact nor a known model_id.
    """
    known = registry.load_registry()
    is_folder = pathlib.Path(model).is_dir()
    if is_folder and pretrained:
        raise errors.UsageError(f"--pretrained goes with a model_id, and {model!r} is a folder; leave it out.")
    if not is_folder and model in known.saved_models:
        return _saved_model(known.saved_models[model], pretrained)
    if not is_folder and model in known.model_ids():
        raise errors.UsageError(
            f"{model} must be exported before it can be run: `python -m tfod_transfer.fit --model_id {model} "
            "--epochs 0 --model_dir DIR` exports it as it is; then predict with DIR."
        )
    try:
        found = exported(model)
    except errors.ArtifactError as error:
        raise errors.ArtifactError(f"{error}{errors.did_you_mean(model, known.saved_models)}") from None
    return Runnable(found.info.labels, found.info.category_ids, found.load, found.info.algorithm)


def _artifact(found: artifact.Artifact) -> Exported:
    def load() -> Detector:
        for line in execution.cautions(found.info.precision, execution.processor_of_this_machine()):
            print(line, file=sys.stderr)
        from tfod_transfer.serving.loaded import LoadedDetector

        return LoadedDetector(found.saved_model)

    return Exported(found.folder, found.info, None, load)


def _saved_model(spec: registry.SavedModelSpec, pretrained: str | None) -> Runnable:
    def load() -> Detector:
        source = saved_models.resolve(spec, pretrained)
        print(f"model:      {spec.model_id}, {source.origin}", flush=True)
        if spec.keypoints:
            print("its keypoints are left out: boxes, classes and scores are written", flush=True)
        from tfod_transfer.serving.api_saved_model import ApiSavedModel

        return ApiSavedModel(source.folder, len(spec.class_names))

    labels = ["N/A", *(name or "N/A" for name in spec.class_names)]
    return Runnable(labels, range(1, len(labels)), load)
