"""The registry: every model that the package knows by a model_id, as typed data read from model_registry.yaml."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from tfod_transfer import errors

REGISTRY_FILE = pathlib.Path(__file__).with_name("model_registry.yaml")

_Spec = TypeVar("_Spec", "ModelSpec", "SavedModelSpec")


@dataclasses.dataclass(frozen=True)
class Structure:
    """What a detector of some architecture is made of.

    Attributes:
      backbone: a key of `modeling.backbones.BACKBONES`, such as "resnet50".
      decoder: a key of `modeling.decoders.DECODERS`: "fpn", "bifpn" or "ssd_feature_maps".
      head: a key of `modeling.heads.HEADS`: one tower for boxes and classes ("shared_tower"), one for each
        ("two_towers"), or convolutions of its own for each feature map ("per_level").
      convolutions: kind of the 3x3 convolutions in decoder and head, "dense" or "separable".
      activation: of decoder and head, "relu6" or "swish".
      normalization: a key of `data.normalization.NORMALIZATIONS`: how raw pixels become the network's input.
      anchor_generator: "multiscale_grid" or "ssd", see modeling/anchors.py.
      augmentation: what the augmentation preset "zoo" means for the model, see data/augmentation.py.
      depth_multiplier: width of a MobileNet backbone; 1.0 for the others.
      feature_depth: channels of the FPN or BiFPN and of the head; of SSD's first own feature map.
      head_convs: convolutions in a tower of the head; 0 for a head without towers.
      tower_bias: whether those have a bias, although batch norm follows.
      bifpn_iterations: times the BiFPN is repeated; 0 for other decoders.
      bifpn_combine: how a BiFPN adds maps up: "fast_attention" has a trained weight for each, "sum" has none.
      min_level: finest feature map, 2^min_level pixels apart.
      max_level: coarsest feature map.
      anchor_scale: side of the smallest square anchor in strides of its level; for "ssd", side of the finest level's
        anchors in sides of the input.
      aspect_ratios: width / height of the anchors.
      scales_per_octave: anchor sizes from one level to the next, that level's own included (for "ssd", of squares).
      box_coder_scales: factors of (ty, tx, th, tw) in box encodings.
      background_slot: whether slot 0 of the class logits is background.
      focal_alpha: weight of the positives in the focal loss.
      focal_gamma: exponent of the focal loss.
      nms_iou: overlap above which non-max suppression drops a box.
      batch_norm_momentum: of the moving statistics.
      l2: Keras coefficient (half of the pipeline.config's weight) of the kernels that the model regularises.
      backbone_l2: the same for the backbone.
    """

    backbone: str
    decoder: Literal["fpn", "bifpn", "ssd_feature_maps"]
    head: Literal["shared_tower", "two_towers", "per_level"]
    convolutions: Literal["dense", "separable"]
    activation: Literal["relu6", "swish"]
    normalization: str
    anchor_generator: Literal["multiscale_grid", "ssd"]
    augmentation: Literal["crop", "scale_and_crop", "ssd_crop"]
    depth_multiplier: float
    feature_depth: int
    head_convs: int
    tower_bias: bool
    bifpn_iterations: int
    bifpn_combine: Literal["fast_attention", "sum"]
    min_level: int
    max_level: int
    anchor_scale: float
    aspect_ratios: tuple[float, ...]
    scales_per_octave: int
    box_coder_scales: tuple[float, float, float, float]
    background_slot: bool
    focal_alpha: float
    focal_gamma: float
    nms_iou: float
    batch_norm_momentum: float
    l2: float
    backbone_l2: float

    @property
    def num_levels(self) -> int:
        """Feature maps that the head sees."""
        return self.max_level - self.min_level + 1


@dataclasses.dataclass(frozen=True)
class CheckpointSource:
    """Where a model's pretrained checkpoint comes from, and how to know it.

    Attributes:
      url: of the archive, a .tar.gz; None for an embedded checkpoint.
      path: folder of an embedded checkpoint, relative to the package; None for one that is downloaded.
      data_bytes: size of its data file, where known.
      data_sha256: of its data file, where known.
      tensor_crc_digest: of its tensors, where known; see `weights.tensor_crc_digest`.
    """

    url: str | None = None
    path: str | None = None
    data_bytes: int | None = None
    data_sha256: str | None = None
    tensor_crc_digest: str | None = None

    @property
    def name(self) -> str:
        """The checkpoint's own name: that of its archive and of the single folder in the archive."""
        return pathlib.PurePosixPath(self.url or self.path or "").name.removesuffix(".tar.gz")

    @property
    def archive(self) -> str:
        """File name of the archive."""
        return f"{self.name}.tar.gz"


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """One entry of the registry.

    Attributes:
      model_id: the name that users give.
      architecture: key of the registry's table of architectures, such as "ssd_mobilenet_v2_fpnlite".
      input_size: side of the square that images are resized to, in pixels.
      resizer: "fixed" stretches an image to the square; "keep_aspect_ratio" pads it at the bottom or right.
      class_names: the names of the checkpoint's classes, by class; None where the model has a slot that no class uses.
      structure: the detector's structure.
      checkpoint: where the pretrained weights come from.
      parameters: number of floats in the checkpoint, batch-norm statistics included.
      coco_map: published AP@[.5:.95] on COCO val2017 in percent, or None.
      license: SPDX identifier of the weights' licence.
      source: who made the weights, from what.
      defaults: the recipe, hyperparameter name -> value.
      step_memory: precision -> (fixed, per image): GB that a process takes to train on a CPU, as measured; empty where
        nobody measured.
    """

    model_id: str
    architecture: str
    input_size: int
    resizer: Literal["fixed", "keep_aspect_ratio"]
    class_names: tuple[str | None, ...]
    structure: Structure
    checkpoint: CheckpointSource
    parameters: int
    coco_map: float | None
    license: str
    source: str
    defaults: dict[str, str | int | float]
    step_memory: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Class slots of the pretrained head without background, holes of the label map included."""
        return len(self.class_names)


@dataclasses.dataclass(frozen=True)
class SavedModelSpec:
    """A finished model that can be run and not trained: a SavedModel of the Object Detection API.

    Attributes:
      model_id: the name that users give.
      url: its handle on TensorFlow Hub.
      class_names: the names of its classes, by class; None where the model has a slot that no class uses.
      keypoints: whether it also finds the keypoints of persons.
      coco_map: published AP@[.5:.95] of its boxes on COCO val2017 in percent.
      nearest: model_id of the model to train instead.
    """

    model_id: str
    url: str
    class_names: tuple[str | None, ...]
    keypoints: bool
    coco_map: float
    nearest: str


class Registry:
    """The models of a registry file, by model_id, in the file's order; iteration gives those that can be trained.

    Attributes:
      saved_models: those that can only be run.
    """

    def __init__(self, specs: Iterable[ModelSpec], saved_models: Iterable[SavedModelSpec] = ()) -> None:
        self._specs = {spec.model_id: spec for spec in specs}
        self.saved_models = {spec.model_id: spec for spec in saved_models}

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)

    def model_ids(self) -> tuple[str, ...]:
        """Every model_id that can be trained."""
        return tuple(self._specs)

    def get(self, model_id: str) -> ModelSpec:
        """Returns a model that can be trained.

        Raises:
          RegistryError: the model_id is unknown, or of a model that can only be run; names the nearest.
        """
        if saved := self.saved_models.get(model_id):
            raise errors.RegistryError(
                f"{model_id} cannot be trained: it is a finished model, which `python -m tfod_transfer.predict "
                f"{model_id}` runs. The nearest that can be trained is {saved.nearest!r}."
            )
        if model_id not in self._specs:
            known = (*self._specs, *self.saved_models)
            hint = errors.did_you_mean(model_id, known) or " `python -m tfod_transfer.models` lists them all."
            raise errors.RegistryError(f"unknown model_id {model_id!r}.{hint}")
        return self._specs[model_id]


def load_registry(path: str | os.PathLike[str] | None = None) -> Registry:
    """Returns the registry in a YAML file; without `path`, the package's own.

    Raises:
      RegistryError: the file cannot be read, an entry has an unknown or missing key, or a value of a wrong type.
    """
    return _load(str(path or REGISTRY_FILE))


@functools.lru_cache(maxsize=1)
def _load(path: str) -> Registry:
    try:
        with open(path, "rb") as file:
            # The C loader reads this file ten times as fast as the Python one; PyYAML may come without it.
            document = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise errors.RegistryError(f"{path} is not valid YAML: {error}") from None
    try:
        return Registry(
            [_spec(model_id, entry, document) for model_id, entry in document["models"].items()],
            [_saved_model(model_id, entry, document) for model_id, entry in document["saved_models"].items()],
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise errors.RegistryError(
            f"{path} must map label_maps, architectures, models and saved_models; found: {error!r}."
        ) from None


def _spec(model_id: str, entry: Mapping[str, Any], document: Mapping[str, Any]) -> ModelSpec:
    entry = dict(entry)
    where = f"model_registry entry {model_id}"
    try:
        family = document["architectures"][entry["architecture"]]
        class_names = _class_names(entry.pop("label_map"), document)
        checkpoint = entry["checkpoint"]
    except KeyError as error:
        raise errors.RegistryError(f"{where}: {error} is missing, or not defined in this file.") from None
    merged = {
        **family,
        **entry,
        "model_id": model_id,
        "class_names": class_names,
        "structure": {**family["structure"], **entry.get("structure", {})},
        "defaults": {**family["defaults"], **entry.get("defaults", {})},
    }
    for section, kind in (
        (merged, ModelSpec),
        (merged["structure"], Structure),
        (checkpoint, CheckpointSource),
    ):
        _refuse_unknown_keys(section, kind, where)
    return _converted(merged, ModelSpec, where)


def _saved_model(model_id: str, entry: Mapping[str, Any], document: Mapping[str, Any]) -> SavedModelSpec:
    entry = dict(entry)
    where = f"model_registry entry {model_id}"
    try:
        class_names = _class_names(entry.pop("label_map"), document)
    except KeyError as error:
        raise errors.RegistryError(f"{where}: {error} is missing, or not defined in this file.") from None
    merged = {**entry, "model_id": model_id, "class_names": class_names}
    _refuse_unknown_keys(merged, SavedModelSpec, where)
    if merged.get("nearest") not in document["models"]:
        raise errors.RegistryError(f"{where}: nearest must be the model_id of a model that can be trained.")
    return _converted(merged, SavedModelSpec, where)


def _class_names(label_map: str, document: Mapping[str, Any]) -> list[str | None]:
    names = document["label_maps"][label_map]
    return [names.get(number) for number in range(1, max(names) + 1)]


def _converted(section: Mapping[str, Any], kind: type[_Spec], where: str) -> _Spec:
    try:
        return msgspec.convert(section, kind)
    except msgspec.ValidationError as error:
        raise errors.RegistryError(f"{where}: {error}.") from None


def _refuse_unknown_keys(section: Mapping[str, Any], kind: type, where: str) -> None:
    known = [field.name for field in dataclasses.fields(kind)]
    for key in section:
        if key not in known:
            raise errors.RegistryError(f"{where}: unknown key {key!r}.{errors.did_you_mean(key, known)}")
