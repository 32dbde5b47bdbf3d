"""The zoo's weight-shared head: one set of convolutions for all pyramid levels, batch norm apart for each level."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from tfod_transfer.modeling.heads.split import SplitHead, by_anchor
from tfod_transfer.modeling.layers import (
    ACTIVATIONS,
    Block,
    ConvBatchNorm,
    Convolution,
    LayerSettings,
    constant,
    normal,
)
from tfod_transfer.registry import Structure

_HEAD = "model/_box_predictor"
BOX_KEY = f"{_HEAD}/_box_prediction_head/_box_encoder_layers/0"
CLASS_KEY = f"{_HEAD}/_prediction_heads/class_predictions_with_background/_class_predictor_layers/0"
CLASS_BIAS = -4.6  # a probability of 0.01 for every class at the start (focal loss paper, section 3.3)
KERNEL_STDDEV = 0.01


class Tower(Block):
    """Convolutions that all levels share, with batch norms that they do not.

    Args:
      scope: name of the tower in the checkpoint.
      norm_scope: name of the output whose batch norms these are in the checkpoint.
    """

    def __init__(self, scope: str, norm_scope: str, structure: Structure, settings: LayerSettings) -> None:
        super().__init__()
        norms = f"{_HEAD}/_base_tower_layers_for_heads/{norm_scope}"
        depth = structure.feature_depth
        self._layers_in_order = [
            ConvBatchNorm(
                Convolution(
                    f"{_HEAD}/_head_scope_conv_layers/{scope}/{i}",
                    structure.convolutions,
                    depth,
                    depth,
                    settings,
                    kernel_initializer=normal(KERNEL_STDDEV),
                    bias_initializer=constant(0.0) if structure.tower_bias else None,
                    l2=structure.l2,
                ),
                # Convolution, batch norm and activation each took a number; the convolutions are stored elsewhere.
                [f"{norms}/{level}/{3 * i + 1}" for level in range(structure.max_level - structure.min_level + 1)],
                settings,
                ACTIVATIONS[structure.activation],
            )
            for i in range(structure.head_convs)
        ]

    def call(self, x: tf.Tensor, level: int, training: bool = False) -> tf.Tensor:
        for layer in self._layers_in_order:
            x = layer(x, level=level, training=training)
        return x


class WeightSharedHead(SplitHead):
    """P3 ... P7 -> box encodings [B, A, 4] and class logits [B, A, slots], levels, rows, columns, anchors in order.

    FPNLite has one tower for boxes and classes, the other models have one for each.

    Attributes:
      num_slots: class logits of an anchor.
      class_layers: the convolutions whose output channels are class slots.
    """

    def __init__(
        self, structure: Structure, anchors_per_cell: Sequence[int], num_slots: int, settings: LayerSettings
    ) -> None:
        """Args: the structure; anchors of a cell on each level, all the same; class slots; settings."""
        super().__init__()
        if structure.head == "shared_tower":
            self._box_tower = Tower("PredictionTower", "box_encodings", structure, settings)
            self._class_tower = self._box_tower
        else:
            self._box_tower = Tower("BoxPredictionTower", "box_encodings", structure, settings)
            class_scope = "class_predictions_with_background"
            self._class_tower = Tower("ClassPredictionTower", class_scope, structure, settings)

        def prediction(key: str, channels: int, bias: float) -> Convolution:
            dense = structure.convolutions == "dense"
            return Convolution(
                key,
                structure.convolutions,
                structure.feature_depth,
                anchors_per_cell[0] * channels,
                settings,
                kernel_initializer=normal(KERNEL_STDDEV) if dense else tf_keras.initializers.GlorotUniform,
                bias_initializer=constant(bias),
                l2=structure.l2 if dense else 0.0,
            )

        self.num_slots = num_slots
        self._box_layer = prediction(BOX_KEY, 4, 0.0)
        self._class_layer = prediction(CLASS_KEY, num_slots, CLASS_BIAS)
        self.class_layers = [self._class_layer]

    def frozen_part(self, maps: Sequence[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        boxes, features = [], []
        for level, x in enumerate(maps):
            box_features = self._box_tower(x, level=level, training=training)
            shared = self._class_tower is self._box_tower
            features.append(box_features if shared else self._class_tower(x, level=level, training=training))
            boxes.append(by_anchor(self._box_layer(box_features), 4))
        return tf.concat(boxes, axis=1), tuple(features)

    def class_logits(self, features: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.concat([by_anchor(self._class_layer(x), self.num_slots) for x in features], axis=1)
