"""Takes a detector's backbone from an image classifier of tf_keras.applications, every layer accounted for."""

from __future__ import annotations

import os

import h5py
import numpy as np
import numpy.typing as npt

from tfod_transfer import errors
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.modeling.layers import KEY_SUFFIX
from tfod_transfer.modeling.zoo_checkpoint import RestoreReport

Array = npt.NDArray[np.float32]


def restore_backbone(
    detector: Detector, file: str | os.PathLike[str], class_names: tuple[str, ...] = ()
) -> RestoreReport:
    """Restores the backbone of a detector; nothing is assigned unless all of it fits.

    The classifiers see images as BGR, the detector as RGB: the inputs of the first convolution change places.

    Args:
      detector: as `build_detector` made it; what is not in the file keeps the values of its seed.
      file: an .h5 as Keras 2 writes it, of weights or of a whole model.
      class_names: of the detector, for the report.

    Raises:
      CheckpointError: the file is damaged, or of another network.
    """
    layers = _read(file)
    taken: set[str] = set()

    def layer(name: str) -> list[Array] | None:
        taken.add(name)
        return layers.get(name)

    takes = getattr(detector.backbone, "imagenet_values", None)
    if takes is None:
        raise errors.CheckpointError(
            f"{file} has weights of an image classifier, and {detector.spec.model_id} starts from a detector's: give a "
            "checkpoint of the zoo, or an artifact."
        )
    values: dict[str, Array] = takes(layer)
    variables = detector.checkpoint_variables()
    for key, value in values.items():
        if value.shape != tuple(variables[key].shape):
            raise errors.CheckpointError(
                f"{file} does not fit the backbone of {detector.spec.model_id}: {_short(key)} is "
                f"{list(value.shape)}, expected {list(variables[key].shape)}. Is it of another network?"
            )
    missing = sorted(taken - layers.keys() - _OPTIONAL)
    if missing:
        found = ", ".join(list(layers)[:5]) or "nothing"
        raise errors.CheckpointError(
            f"{file} is not of the network that {detector.spec.model_id} takes its backbone from: expected the layers "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}; found {found}, ..."
        )
    first = next(iter(values))  # of the first convolution
    values[first] = values[first][:, :, ::-1]
    for key, value in values.items():
        variables[key].assign(value)
    return RestoreReport(
        prefix=os.fspath(file),
        restored={key: value.size for key, value in values.items()},
        reinitialized={key: int(np.prod(each.shape)) for key, each in variables.items() if key not in values},
        unused={name: sum(array.size for array in arrays) for name, arrays in layers.items() if name not in taken},
        kept_classes=(),
        new_classes=class_names,
        dropped_classes=(),
    )


_OPTIONAL = frozenset({"fc1", "fc2"})  # of VGG-16 without its top


def _read(file: str | os.PathLike[str]) -> dict[str, list[Array]]:
    """The arrays of each layer that has any, in Keras's order."""
    try:
        with h5py.File(file, "r") as root:
            group = root.get("model_weights", root)  # of a whole model
            found = {}
            for name in map(_text, group.attrs["layer_names"]):
                weights = [_text(each) for each in group[name].attrs["weight_names"]]
                if weights:
                    found[name] = [np.asarray(group[name][each], np.float32) for each in weights]
            return found
    except (OSError, KeyError, ValueError) as error:
        raise errors.CheckpointError(
            f"{file}: expected an .h5 with the weights of tf_keras.applications; it is damaged, or something else "
            f"({error})."
        ) from None


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _short(key: str) -> str:
    return key.removesuffix(KEY_SUFFIX)
