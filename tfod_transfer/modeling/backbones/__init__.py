"""Backbones: normalised images -> feature maps. One file for each family, one row here for each member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.modeling.backbones.mobilenet_v1 import MobileNetV1
from tfod_transfer.modeling.backbones.mobilenet_v2 import FPN_TAPS, SSD_TAPS, MobileNetV2
from tfod_transfer.modeling.backbones.resnet import ResNet
from tfod_transfer.modeling.layers import LayerSettings
from tfod_transfer.registry import Structure


class Backbone(Protocol):
    """What a detector expects of a backbone, a Keras layer.

    Attributes:
      output_channels: channels of its maps.
      unused_checkpoint_keys: how keys begin that zoo checkpoints have and the backbone has no use for; None: no such.
    """

    output_channels: Sequence[int]
    unused_checkpoint_keys: str | None

    def __call__(self, x: tf.Tensor, *, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        """[B, S, S, 3] -> maps, finest first; `noise_seed` is int [2], or None for no stochastic depth."""


BACKBONES: dict[str, Callable[[Structure, LayerSettings], Backbone]] = {
    "mobilenet_v1": lambda structure, settings: MobileNetV1(
        structure.depth_multiplier, settings, structure.backbone_l2
    ),
    "mobilenet_v2": lambda structure, settings: MobileNetV2(
        structure.depth_multiplier,
        settings,
        structure.backbone_l2,
        SSD_TAPS if structure.decoder == "ssd_feature_maps" else FPN_TAPS,
    ),
    "resnet50": lambda structure, settings: ResNet((3, 4, 6, 3), settings, structure.backbone_l2),
    "resnet101": lambda structure, settings: ResNet((3, 4, 23, 3), settings, structure.backbone_l2),
    "resnet152": lambda structure, settings: ResNet((3, 8, 36, 3), settings, structure.backbone_l2),
}


def build(structure: Structure, settings: LayerSettings) -> Backbone:
    """Builds the backbone that a structure names.

    Raises:
      RegistryError: there is none of that name.
    """
    if structure.backbone not in BACKBONES:
        raise errors.RegistryError(
            f"unknown backbone {structure.backbone!r}, expected one of {', '.join(BACKBONES)}."
            f"{errors.did_you_mean(structure.backbone, BACKBONES)}"
        )
    return BACKBONES[structure.backbone](structure, settings)
