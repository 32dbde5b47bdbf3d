"""The detector: normalisation, backbone, decoder and head as one Keras model, built from a registry entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
import tf_keras

from tfod_transfer import errors
from tfod_transfer.modeling import anchors, heads, preprocessing
from tfod_transfer.modeling.backbones.mobilenet_v2 import MobileNetV2
from tfod_transfer.modeling.decoders.fpn import FeaturePyramid
from tfod_transfer.modeling.layers import BatchNorm, BatchNormPolicy, Convolution, LayerSettings, normal
from tfod_transfer.registry import ModelSpec


class DetectorOutput(NamedTuple):
    """What a detector says of each anchor.

    Attributes:
      box_encodings: float32 [B, A, 4] of (ty, tx, th, tw), see box_coder.py.
      class_logits: float32 [B, A, slots]; slot 0 is background where the model has such a slot.
    """

    box_encodings: tf.Tensor
    class_logits: tf.Tensor


class Network(NamedTuple):
    """The three parts of a detector."""

    backbone: tf_keras.layers.Layer
    decoder: tf_keras.layers.Layer
    head: heads.WeightSharedHead


class Detector(tf_keras.Model):
    """Raw RGB images [B, S, S, 3] in 0..255 (uint8 or float32) -> DetectorOutput.

    Attributes:
      spec: the registry entry that it was built from.
      num_classes: classes that it knows, without background.
      anchors: float32 [A, 4], normalised [ymin, xmin, ymax, xmax].
    """

    def __init__(self, spec: ModelSpec, num_classes: int, network: Network) -> None:
        super().__init__(name="detector")
        self.spec, self.num_classes = spec, num_classes
        self.anchors = anchors.generate(spec)
        self.backbone, self.decoder, self.head = network
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> DetectorOutput:
        x = preprocessing.normalize(images, self.spec.architecture)
        features = self.decoder(self.backbone(x, training=training), training=training)
        encodings, logits = self.head(features, training=training)
        return DetectorOutput(tf.cast(encodings, tf.float32), tf.cast(logits, tf.float32))

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        """Maps the key that each variable has in a zoo checkpoint to the variable."""
        named: dict[str, tf.Variable] = {}
        for module in self.submodules:
            if isinstance(module, (Convolution, BatchNorm)):
                named.update(module.checkpoint_variables())
        return named

    def l2_coefficients(self) -> dict[str, float]:
        """Maps the checkpoint key of each regularised kernel to its coefficient."""
        return {
            key: coefficient
            for module in self.submodules
            if isinstance(module, Convolution)
            for key, coefficient in module.l2_coefficients.items()
        }


def trainable_variables_for(detector: Detector, *, only_top: bool) -> list[tf.Variable]:
    """The variables that training changes: all trainable ones, or those of the class head alone."""
    part = detector.head.class_layer if only_top else detector
    return list(part.trainable_variables)


def build_detector(
    spec: ModelSpec,
    num_classes: int,
    *,
    freeze_batch_norm: bool = True,
    batch_norm_policy: BatchNormPolicy = "folded",
    seed: int = 0,
) -> Detector:
    """Builds the detector of a registry entry with random weights, all of them decided by `seed`.

    Args:
      spec: the registry entry.
      num_classes: classes to tell apart, without background.
      freeze_batch_norm: train with the moving statistics, and leave them as they are.
      batch_norm_policy: how batch norm with moving statistics is executed; the results agree to rounding.
      seed: of the initial values.

    Raises:
      RegistryError: the architecture is not known, or not built yet.
    """
    if spec.architecture not in _NETWORKS:
        raise errors.RegistryError(
            f"{spec.model_id}: architecture {spec.architecture!r} cannot be built; "
            f"this version builds {', '.join(_NETWORKS)}.{errors.did_you_mean(spec.architecture, _NETWORKS)}"
        )
    settings = LayerSettings(spec.structure.batch_norm_momentum, freeze_batch_norm, batch_norm_policy, seed)
    num_slots = num_classes + spec.structure.background_slot
    return Detector(spec, num_classes, _NETWORKS[spec.architecture](spec, num_slots, settings))


def _ssd_mobilenet_v2_fpnlite(spec: ModelSpec, num_slots: int, settings: LayerSettings) -> Network:
    structure = spec.structure
    backbone = MobileNetV2(structure.depth_multiplier, settings, structure.l2)
    decoder = FeaturePyramid(
        backbone.output_channels,
        structure.feature_depth,
        "separable",
        spec.input_size,
        settings,
        normal(0.01),
        structure.l2,
    )
    head = heads.shared_tower_head(
        structure.feature_depth,
        structure.head_convs,
        structure.max_level - structure.min_level + 1,
        anchors.anchors_per_cell(spec),
        num_slots,
        settings,
        structure.l2,
    )
    return Network(backbone, decoder, head)


_NETWORKS: dict[str, Callable[[ModelSpec, int, LayerSettings], Network]] = {
    "ssd_mobilenet_v2_fpnlite": _ssd_mobilenet_v2_fpnlite,
}
