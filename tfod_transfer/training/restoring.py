"""From a registry entry and pretrained weights to a detector of the classes that are wanted."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfod_transfer import artifact, errors
from tfod_transfer.data.training_data import TrainingData
from tfod_transfer.execution import ExecutionPolicy
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.modeling import image_classifier, zoo_checkpoint
from tfod_transfer.modeling.detector import Detector, build_detector
from tfod_transfer.modeling.layers import BatchNorm, Execution
from tfod_transfer.modeling.zoo_checkpoint import RestoreReport
from tfod_transfer.registry import ModelSpec
from tfod_transfer.weights import PretrainedSource

NO_WEIGHTS = "none: every variable starts at random"


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a detector started from.

    Attributes:
      spec: its registry entry.
      class_names: its classes 0..K-1; None at holes of a pretrained label map.
      category_ids: their ids as annotations give them.
      report: what became of every variable.
      origin: where the weights came from.
    """

    spec: ModelSpec
    class_names: tuple[str | None, ...]
    category_ids: tuple[int | str, ...]
    report: RestoreReport
    origin: str


def restored_detector(
    spec: ModelSpec,
    pretrained: PretrainedSource | None,
    data: TrainingData | None,
    settings: Hyperparameters,
    policy: ExecutionPolicy,
) -> tuple[Detector, Restored]:
    """Builds a detector for the classes of `data` (without data: those of the checkpoint) and restores it.

    Without `pretrained` every variable keeps its random value; from an image classifier's weights comes the backbone.

    Raises:
      CheckpointError: the checkpoint does not fit the model, or its number of classes is not that of its label map.
    """
    if pretrained is None:
        return _from_scratch(spec, data, settings, policy)
    if pretrained.of_backbone:
        return _from_classifier(spec, pretrained, data, settings, policy)
    known = _checkpoint_classes(spec, pretrained)
    class_names: tuple[str | None, ...] = data.train.class_names if data else known
    category_ids = data.train.category_ids if data else _category_ids(pretrained)
    detector = _built(spec, len(class_names), settings, policy)
    report = zoo_checkpoint.restore(
        detector,
        pretrained.prefix,
        checkpoint_class_names=known,
        class_names=class_names,
        reinitialize_top_layer=settings.reinitialize_top_layer,
    )
    return detector, Restored(spec, class_names, category_ids, report, pretrained.origin)


def _built(spec: ModelSpec, num_classes: int, settings: Hyperparameters, policy: ExecutionPolicy) -> Detector:
    return build_detector(
        spec,
        num_classes,
        freeze_batch_norm=settings.freeze_batch_norm,
        execution=Execution(tf.dtypes.as_dtype(policy.precision), policy.batch_norm, xla=policy.xla),
        seed=settings.seed,
    )


def _from_classifier(
    spec: ModelSpec,
    pretrained: PretrainedSource,
    data: TrainingData | None,
    settings: Hyperparameters,
    policy: ExecutionPolicy,
) -> tuple[Detector, Restored]:
    if data is None:
        raise errors.UsageError(
            f"{pretrained.prefix} has the backbone of {spec.model_id} and no class head: there is nothing to export "
            "without training; --training DIR is needed."
        )
    names = data.train.class_names
    detector = _built(spec, len(names), settings, policy)
    report = image_classifier.restore_backbone(detector, pretrained.prefix, names)
    return detector, Restored(spec, names, data.train.category_ids, report, pretrained.origin)


def _from_scratch(
    spec: ModelSpec, data: TrainingData | None, settings: Hyperparameters, policy: ExecutionPolicy
) -> tuple[Detector, Restored]:
    if data is None:
        raise errors.UsageError("without pretrained weights there is nothing to export: --training DIR is needed.")
    names = data.train.class_names
    detector = _built(spec, len(names), settings, policy)
    if settings.freeze_batch_norm and any(isinstance(module, BatchNorm) for module in detector.submodules):
        raise errors.UsageError(
            "weights that start at random need a trained batch norm: add --freeze_batch_norm False."
        )
    sizes = {key: int(np.prod(variable.shape)) for key, variable in detector.checkpoint_variables().items()}
    report = RestoreReport("", {}, sizes, {}, kept_classes=(), new_classes=names, dropped_classes=())
    return detector, Restored(spec, names, data.train.category_ids, report, NO_WEIGHTS)


def _category_ids(pretrained: PretrainedSource) -> tuple[int | str, ...]:
    """Those of the artifact that the checkpoint belongs to, else 1, 2, … as in COCO."""
    info = artifact.info_beside(pretrained.folder)
    if info:
        return info.category_ids
    return tuple(range(1, len(pretrained.class_names) + 1))


def _checkpoint_classes(spec: ModelSpec, pretrained: PretrainedSource) -> tuple[str | None, ...]:
    count = zoo_checkpoint.num_classes_in(pretrained.prefix, spec)
    if count != len(pretrained.class_names):
        raise errors.CheckpointError(
            f"the class head in {pretrained.folder!r} is for {count} classes, but its label map names "
            f"{len(pretrained.class_names)}; give the names with --pretrained_labels FILE, one a line."
        )
    return pretrained.class_names
