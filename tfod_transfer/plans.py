"""What a run is asked for, in the form of either of SageMaker's algorithms, as the engine's own settings."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfod_transfer import artifact, errors, hyperparameters, ssd_hyperparameters
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.registry import ModelSpec, Registry
from tfod_transfer.ssd_hyperparameters import SsdHyperparameters

if TYPE_CHECKING:
    from tfod_transfer.data.training_data import TrainingData
    from tfod_transfer.weights import PretrainedSource

SSD = "object-detection"
_LABEL_HEADER, _LABEL_WIDTH = 2, 5  # numbers before the boxes in a label of RecordIO, and of each box


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run as the engine takes it.

    Attributes:
      spec: the model, for the input and the suppression that are asked for.
      settings: of the engine.
      ssd: what was asked for in the form of Object Detection; None in that of Object Detection - TensorFlow.
    """

    spec: ModelSpec
    settings: Hyperparameters
    ssd: SsdHyperparameters | None = None

    @property
    def from_scratch(self) -> bool:
        """Whether no pretrained weights are wanted, as far as hyperparameters say."""
        return self.ssd is not None and not self.ssd.use_pretrained_model


def recipe(spec: ModelSpec) -> Hyperparameters:
    """The settings of a run of a model that is given no hyperparameter."""
    values = {}
    if spec.algorithm == SSD:
        values = ssd_hyperparameters.for_engine(ssd_hyperparameters.resolve({}), {})
    return hyperparameters.resolve(values, spec.defaults)


def plan(
    registry: Registry,
    model_id: str | None,
    given: Mapping[str, Any],
    *,
    num_hosts: int = 1,
    from_weights: bool = False,
) -> Plan:
    """Works out what a run is.

    Args:
      registry: the models.
      model_id: the model; None where `base_network` says it.
      given: hyperparameters of either algorithm, by name; text or typed.
      num_hosts: that train together.
      from_weights: weights to start from are given, whatever `use_pretrained_model` says.

    Raises:
      UsageError: a hyperparameter is unknown, of the other algorithm, or has a value that cannot be.
      RegistryError: the model is unknown, or takes no such input.
    """
    own = {name: given[name] for name in ssd_hyperparameters.OWN_NAMES if given.get(name) is not None}
    if model_id is None:
        if not own:
            raise errors.UsageError(
                "--model_id ID is needed (or --base_network vgg-16 or resnet-50, for SageMaker's Object Detection)."
            )
        model_id = ssd_hyperparameters.MODEL_IDS[ssd_hyperparameters.resolve(own).base_network]
    spec = registry.get(model_id)
    ssd, values = None, dict(given)
    if spec.algorithm == SSD:
        network = next(name for name, each in ssd_hyperparameters.MODEL_IDS.items() if each == model_id)
        ssd = ssd_hyperparameters.resolve({"base_network": network, **_without_none(given)})
        if ssd.base_network != network:
            raise errors.UsageError(f"base_network is {ssd.base_network}, and {model_id} has {network}; leave one out.")
        values = ssd_hyperparameters.for_engine(ssd, given, num_hosts)
        if from_weights and given.get("freeze_batch_norm") is None:
            values["freeze_batch_norm"] = True
    elif own:
        raise errors.UsageError(
            f"{', '.join(own)}: of SageMaker's Object Detection (SSD), and {model_id} is a model of Object Detection - "
            "TensorFlow. Leave it out, or give --base_network instead of --model_id."
        )
    settings = hyperparameters.resolve(values, spec.defaults)
    if settings.anchor_scale is not None and (settings.train_only_on_top_layer or not settings.epochs):
        culprit = "train_only_on_top_layer trains no boxes" if settings.epochs else "epochs 0 trains nothing"
        raise errors.UsageError(f"anchor_scale: other anchors have to be learnt, and {culprit}; leave one out.")
    adapted = spec.adapted(settings.image_shape, settings.nms_threshold, settings.nms_topk, settings.anchor_scale)
    return Plan(adapted, settings, ssd)


def remarks(asked: SsdHyperparameters, data: TrainingData) -> list[str]:
    """Lines on what hyperparameters say of the data and is otherwise; the data counts."""
    train, lines = data.train, []
    wanted, found = asked.num_classes, len(train.class_names)
    if wanted is not None and wanted != found:
        ids = ", ".join(map(str, train.category_ids))
        lines.append(f"note:       num_classes is {wanted}; the data's classes are {ids}, and no others are made")
    if asked.num_training_samples not in (None, len(train)):
        lines.append(f"note:       num_training_samples is {asked.num_training_samples}, the data has {len(train)}")
    needed = _LABEL_HEADER + _LABEL_WIDTH * int(max(train.boxes_per_image, default=0))
    if asked.label_width < needed:
        lines.append(f"note:       label_width is {asked.label_width}, and {needed} are needed; no box is left out")
    return lines


def continued(spec: ModelSpec, pretrained: PretrainedSource, data: TrainingData) -> PretrainedSource:
    """An earlier job's model as incremental training of Object Detection takes it.

    Classes are numbers there: a head is taken over as it is, unless both sides have the same names in another order.

    Raises:
      CheckpointError: it has another base network, or another number of classes.
    """
    found = artifact.info_beside(pretrained.folder)
    if pretrained.of_backbone or found is None:
        return pretrained
    names = data.train.class_names
    folder = str(pathlib.Path(pretrained.folder).parent)
    if found.model_id != spec.model_id:
        raise errors.CheckpointError(
            f"the model in {folder!r} is {found.model_id}, and this run trains {spec.model_id}: incremental "
            "training needs the same base_network."
        )
    if len(found.class_names) != len(names):
        raise errors.CheckpointError(
            f"the model in {folder!r} knows {len(found.class_names)} classes, and this run has {len(names)}: "
            "incremental training needs the same num_classes."
        )
    same = sorted(map(str, found.class_names)) == sorted(names)
    return pretrained if same else dataclasses.replace(pretrained, class_names=names)


def with_anchors_of(info: artifact.ModelInfo | None, spec: ModelSpec, settings: Hyperparameters) -> ModelSpec:
    """The model with the anchors that the weights of an earlier artifact know, unless others are asked for."""
    return spec if info is None or settings.anchor_scale else spec.adapted(anchor_scale=info.anchor_scale)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
