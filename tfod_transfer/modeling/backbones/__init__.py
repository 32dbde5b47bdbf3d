"""Backbones: normalised images -> feature maps. One file for each family, one row here for each member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.modeling.backbones.efficientnet import EfficientNet
from tfod_transfer.modeling.backbones.keras_resnet import KerasResNet50
from tfod_transfer.modeling.backbones.mobilenet_v1 import MobileNetV1
from tfod_transfer.modeling.backbones.mobilenet_v2 import FPN_TAPS, SSD_TAPS, MobileNetV2
from tfod_transfer.modeling.backbones.resnet import ResNet
from tfod_transfer.modeling.backbones.vgg import Vgg16Reduced
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


def _efficientnet(width: float, depth: float) -> Callable[[Structure, LayerSettings], Backbone]:
    return lambda structure, settings: EfficientNet(width, depth, settings, structure.backbone_l2)


BACKBONES: dict[str, Callable[[Structure, LayerSettings], Backbone]] = {
    "efficientnet_b0": _efficientnet(width=1.0, depth=1.0),
    "efficientnet_b1": _efficientnet(width=1.0, depth=1.1),
    "efficientnet_b2": _efficientnet(width=1.1, depth=1.2),
    "efficientnet_b3": _efficientnet(width=1.2, depth=1.4),
    "efficientnet_b4": _efficientnet(width=1.4, depth=1.8),
    "efficientnet_b5": _efficientnet(width=1.6, depth=2.2),
    "efficientnet_b6": _efficientnet(width=1.8, depth=2.6),
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
    "resnet50_keras": lambda structure, settings: KerasResNet50(
        structure.depth_multiplier, settings, structure.backbone_l2
    ),
    "vgg16_reduced": lambda structure, settings: Vgg16Reduced(
        structure.depth_multiplier, settings, structure.backbone_l2
    ),
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
