"""Reads and writes checkpoints in the key layout of the TensorFlow 2 detection zoo, every variable accounted for."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.modeling import anchors, head_surgery, heads
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.modeling.head_surgery import ReinitializeTopLayer
from tfod_transfer.registry import ModelSpec

# What a training job of the Object Detection API leaves beside the model's variables.
_KNOWN_UNUSED = re.compile(r"^(save_counter|step|optimizer|_CHECKPOINTABLE_OBJECT_GRAPH)(/|$)")
_MAX_LISTED = 10
# TensorFlow's reader raises whichever of these its C++ status maps to.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What became of every variable of the detector and of the checkpoint.

    A class head of which only some rows are kept is in all three lists, each with its part of the parameters.

    Attributes:
      prefix: of the checkpoint.
      restored: checkpoint key -> parameters taken over.
      reinitialized: key -> parameters that start from the detector's own seed.
      unused: key -> parameters of the checkpoint that the detector has no place for.
      kept_classes: classes whose rows in the class head were taken over.
      new_classes: classes whose rows start afresh.
      dropped_classes: the checkpoint's classes that the detector does not have.
    """

    prefix: str
    restored: dict[str, int]
    reinitialized: dict[str, int]
    unused: dict[str, int]
    kept_classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    dropped_classes: tuple[str, ...]

    def table(self) -> str:
        """The report for a person: a row each for restored, re-initialised and unused, then the class rows."""
        rows = [("", "variables", "parameters", "")]
        for title, part in (
            ("restored", self.restored),
            ("re-initialised", self.reinitialized),
            ("unused", self.unused),
        ):
            names = ", ".join(_short(key) for key in part) if len(part) <= _MAX_LISTED else ""
            rows.append((title, str(len(part)), f"{sum(part.values()):,}", names))
        lines = [f"{title:<15}{count:>9}{size:>13}  {names}".rstrip() for title, count, size, names in rows]
        for title, classes in (
            ("kept", self.kept_classes),
            ("new", self.new_classes),
            ("dropped", self.dropped_classes),
        ):
            lines.append(f"class rows {title + ':':<9}{', '.join(classes) or 'none'}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON, with totals."""
        parts = {"restored": self.restored, "reinitialized": self.reinitialized, "unused": self.unused}
        totals = {name: {"variables": len(part), "parameters": sum(part.values())} for name, part in parts.items()}
        return {"totals": totals, **dataclasses.asdict(self)}


def num_classes_in(prefix: str, spec: ModelSpec) -> int:
    """How many classes the class head of a checkpoint knows, without background.

    Raises:
      CheckpointError: not a readable checkpoint, or not one with the head of this model.
    """
    shapes = _Reader(prefix).shapes
    key = heads.class_bias_key(spec.structure)
    channels = shapes.get(key, (0,))[0]
    per_cell = anchors.anchors_per_cell(spec)[-1]
    if not channels or channels % per_cell:
        raise errors.CheckpointError(
            f"{prefix}: expected a class head with {per_cell} anchors for each cell ({key}), as "
            f"{spec.model_id} has; found {channels or 'no'} channels among {len(shapes)} variables: "
            f"{_listed(shapes)}. Is this the checkpoint of another model?"
        )
    return int(channels) // per_cell - spec.structure.background_slot


def restore(
    detector: Detector,
    prefix: str,
    *,
    checkpoint_class_names: Sequence[str | None],
    class_names: Sequence[str | None],
    reinitialize_top_layer: ReinitializeTopLayer = "Auto",
) -> RestoreReport:
    """Restores a detector from a checkpoint; nothing is assigned unless everything fits.

    Class rows that the checkpoint does not know keep the values that `build_detector` drew from its seed.

    Args:
      detector: as `build_detector` made it.
      prefix: of the checkpoint, e.g. "folder/checkpoint/ckpt-0".
      checkpoint_class_names: by class, None for a class number that is not in use.
      class_names: the detector's own.
      reinitialize_top_layer: see head_surgery.plan.

    Raises:
      CheckpointError: not a checkpoint, damaged, of another model, or with other classes than said.
    """
    reader = _Reader(prefix)
    known = num_classes_in(prefix, detector.spec)
    if len(checkpoint_class_names) != known:
        raise errors.CheckpointError(
            f"{prefix}: its class head knows {known} classes, but {len(checkpoint_class_names)} names are given: "
            f"{', '.join(map(str, checkpoint_class_names[:_MAX_LISTED]))}. Give the labels it was trained with"
        )
    head = head_surgery.plan(
        checkpoint_class_names, class_names, detector.spec.structure.background_slot, reinitialize_top_layer
    )
    variables = detector.checkpoint_variables()
    rows_change = set() if head.keeps_all else _class_rows(detector)
    _require_match(
        prefix,
        reader,
        {key: tuple(v.shape) for key, v in variables.items()},
        rows_change,
        detector.backbone.unused_checkpoint_keys,
    )

    fresh = set(_class_variables(detector)) if head.keeps_none else set()
    values = {key: reader.read(key) for key in variables if key not in fresh}
    restored = {key: value.size for key, value in values.items()}
    reinitialized = {key: int(np.prod(variables[key].shape)) for key in fresh}
    unused = {key: int(np.prod(shape)) for key, shape in reader.shapes.items() if key not in variables or key in fresh}
    for key in rows_change & values.keys():
        row = values[key].size // head.num_pretrained_slots
        kept = sum(source is not None for source in head.sources)
        dropped = head.num_pretrained_slots - len({source for source in head.sources if source is not None})
        values[key] = head_surgery.merge_rows(values[key], variables[key].numpy(), head)
        restored[key] = row * kept
        for part, rows in ((reinitialized, len(head.sources) - kept), (unused, dropped)):
            if rows:
                part[key] = row * rows
    for key, value in values.items():
        variables[key].assign(value)
    return RestoreReport(
        prefix=prefix,
        restored=restored,
        reinitialized=reinitialized,
        unused=unused,
        kept_classes=head.kept_classes,
        new_classes=head.new_classes,
        dropped_classes=head.dropped_classes,
    )


def save(detector: Detector, folder: str | os.PathLike[str]) -> str:
    """Writes folder/checkpoint/{checkpoint,ckpt-0.index,ckpt-0.data-00000-of-00001}, the layout of a zoo archive.

    A checkpoint that is there already is replaced; until the new one is whole, nothing bears its name.

    Returns:
      The prefix, "folder/checkpoint/ckpt-0".
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    named = detector.checkpoint_variables()
    with tempfile.TemporaryDirectory(prefix=".checkpoint-", dir=folder) as scratch:
        new, old, final = pathlib.Path(scratch, "new"), pathlib.Path(scratch, "old"), folder / "checkpoint"
        new.mkdir()
        tf.raw_ops.SaveV2(
            prefix=str(new / "ckpt-0"),
            tensor_names=list(named),
            shape_and_slices=[""] * len(named),
            tensors=[tf.convert_to_tensor(variable) for variable in named.values()],
        )
        state = 'model_checkpoint_path: "ckpt-0"\nall_model_checkpoint_paths: "ckpt-0"\n'
        (new / "checkpoint").write_text(state, encoding="utf-8")
        if final.exists():
            final.rename(old)
        new.rename(final)
    return str(final / "ckpt-0")


class _Reader:
    """A checkpoint whose failures are CheckpointErrors."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        if not os.path.exists(f"{prefix}.index"):
            raise errors.CheckpointError(
                f"{prefix}: expected a TensorFlow checkpoint, {prefix}.index and its data file beside it; found none. "
                "A zoo archive holds it as checkpoint/ckpt-0"
            )
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            self.shapes = {key: tuple(shape) for key, shape in self._reader.get_variable_to_shape_map().items()}
            self.dtypes: Mapping[str, tf.DType] = self._reader.get_variable_to_dtype_map()
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error

    def read(self, key: str) -> npt.NDArray[np.float32]:
        try:
            return np.asarray(self._reader.get_tensor(key))
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> errors.CheckpointError:
        detail = str(error).split("\n", 1)[0]
        return errors.CheckpointError(
            f"{self._prefix}: the checkpoint is damaged or its data file is missing or cut short ({detail}). "
            "Download or copy it again"
        )


def _class_variables(detector: Detector) -> dict[str, tf.Variable]:
    """The variables of the class head's last layers, by checkpoint key."""
    layers = detector.head.class_layers
    return {key: variable for layer in layers for key, variable in layer.checkpoint_variables().items()}


def _class_rows(detector: Detector) -> set[str]:
    """Checkpoint keys of the class head's variables that have a row for each anchor and slot."""
    widths = {layer.filters for layer in detector.head.class_layers}
    return {key for key, variable in _class_variables(detector).items() if variable.shape[-1] in widths}


def _require_match(
    prefix: str, reader: _Reader, model: Mapping[str, tuple[int, ...]], rows_change: set[str], unused: str | None
) -> None:
    """Raises CheckpointError unless names, types and shapes agree, class rows aside; lists both differences.

    Keys that begin with `unused` may be left over.
    """
    missing = [key for key in model if key not in reader.shapes]
    left_over = [
        key
        for key in reader.shapes
        if key not in model and not _KNOWN_UNUSED.match(key) and not (unused and key.startswith(unused))
    ]
    misshapen = []
    for key in model.keys() & reader.shapes.keys():
        drop = -1 if key in rows_change else None
        if reader.shapes[key][:drop] != model[key][:drop] or reader.dtypes[key] != tf.float32:
            found = f"{reader.dtypes[key].name} {list(reader.shapes[key])}"
            misshapen.append(f"{_short(key)} (expected float32 {list(model[key])}, found {found})")
    if missing or left_over or misshapen:
        raise errors.CheckpointError(
            f"{prefix} does not fit the model, was it trained with another one? "
            f"In the model but not in the checkpoint: {_listed(missing)}. "
            f"In the checkpoint but not in the model: {_listed(left_over)}. "
            f"Of another shape or type: {_listed(misshapen)}."
        )


def _short(key: str) -> str:
    return key.split("/.ATTRIBUTES", 1)[0]


def _listed(keys: Iterable[str]) -> str:
    names = sorted(_short(key) for key in keys)
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more if names else "none"
