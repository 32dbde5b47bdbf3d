"""The registry: every model that the package knows by a model_id, as typed data read from model_registry.yaml."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import yaml

from tfod_transfer import errors
from tfod_transfer.model_spec import CheckpointSource, ModelSpec, SavedModelSpec, Structure

__all__ = ["CheckpointSource", "ModelSpec", "Registry", "SavedModelSpec", "Structure", "load_registry"]

REGISTRY_FILE = pathlib.Path(__file__).with_name("model_registry.yaml")

_Spec = TypeVar("_Spec", "ModelSpec", "SavedModelSpec")


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
    return [names.get(number) for number in range(1, max(names, default=0) + 1)]


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
