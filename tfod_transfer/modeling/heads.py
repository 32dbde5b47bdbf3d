"""The zoo's weight-shared head: one set of convolutions for all pyramid levels, batch norm apart for each level."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from tfod_transfer.modeling.layers import (
    KEY_SUFFIX,
    ConvBatchNorm,
    Convolution,
    ConvolutionKind,
    LayerSettings,
    constant,
    normal,
)

_HEAD = "model/_box_predictor"
BOX_KEY = f"{_HEAD}/_box_prediction_head/_box_encoder_layers/0"
CLASS_KEY = f"{_HEAD}/_prediction_heads/class_predictions_with_background/_class_predictor_layers/0"
CLASS_BIAS_KEY = f"{CLASS_KEY}/bias{KEY_SUFFIX}"
CLASS_BIAS = -4.6  # a probability of 0.01 for every class at the start (focal loss paper, section 3.3)
KERNEL_STDDEV = 0.01


class Tower(tf_keras.layers.Layer):
    """`num_convs` convolutions, shared by the levels.

    Args:
      scope: name of the tower in the checkpoint.
      norm_scope: name of the output whose batch norms these are in the checkpoint.
    """

    def __init__(
        self,
        scope: str,
        norm_scope: str,
        kind: ConvolutionKind,
        depth: int,
        num_convs: int,
        num_levels: int,
        settings: LayerSettings,
        l2: float,
    ) -> None:
        super().__init__()
        norms = f"{_HEAD}/_base_tower_layers_for_heads/{norm_scope}"
        self._layers_in_order = [
            ConvBatchNorm(
                Convolution(
                    f"{_HEAD}/_head_scope_conv_layers/{scope}/{i}",
                    kind,
                    depth,
                    depth,
                    settings,
                    kernel_initializer=normal(KERNEL_STDDEV),
                    l2=l2,
                ),
                # Convolution, batch norm and activation each took a number; the convolutions are stored elsewhere.
                [f"{norms}/{level}/{3 * i + 1}" for level in range(num_levels)],
                settings,
            )
            for i in range(num_convs)
        ]

    def call(self, x: tf.Tensor, level: int, training: bool = False) -> tf.Tensor:
        for layer in self._layers_in_order:
            x = layer(x, level=level, training=training)
        return x


class WeightSharedHead(tf_keras.layers.Layer):
    """P3 ... P7 -> box encodings [B, A, 4] and class logits [B, A, slots], levels, rows, columns, anchors in order.

    Args:
      box_tower, class_tower: may be one and the same; it runs once then.
      box_layer, class_layer: the predictions, with 4 and `slots` channels for each anchor of a cell.
    """

    def __init__(
        self, box_tower: Tower, class_tower: Tower, box_layer: Convolution, class_layer: Convolution, num_slots: int
    ) -> None:
        super().__init__()
        self._box_tower, self._class_tower = box_tower, class_tower
        self.box_layer, self.class_layer, self.num_slots = box_layer, class_layer, num_slots

    def call(self, maps: Sequence[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        boxes, logits = [], []
        for level, x in enumerate(maps):
            box_features = self._box_tower(x, level=level, training=training)
            shared = self._class_tower is self._box_tower
            class_features = box_features if shared else self._class_tower(x, level=level, training=training)
            boxes.append(_by_anchor(self.box_layer(box_features), 4))
            logits.append(_by_anchor(self.class_layer(class_features), self.num_slots))
        return tf.concat(boxes, axis=1), tf.concat(logits, axis=1)


def shared_tower_head(
    depth: int,
    num_convs: int,
    num_levels: int,
    anchors_per_cell: int,
    num_slots: int,
    settings: LayerSettings,
    l2: float,
) -> WeightSharedHead:
    """The FPNLite head: separable convolutions, one tower for boxes and classes; its predictions have no L2."""
    tower = Tower("PredictionTower", "box_encodings", "separable", depth, num_convs, num_levels, settings, l2)

    def prediction(key: str, channels: int, bias: float) -> Convolution:
        return Convolution(
            key,
            "separable",
            depth,
            anchors_per_cell * channels,
            settings,
            kernel_initializer=tf_keras.initializers.GlorotUniform,
            bias_initializer=constant(bias),
        )

    return WeightSharedHead(
        tower, tower, prediction(BOX_KEY, 4, 0.0), prediction(CLASS_KEY, num_slots, CLASS_BIAS), num_slots
    )


def _by_anchor(x: tf.Tensor, channels: int) -> tf.Tensor:
    """[B, H, W, anchors * channels] -> [B, H * W * anchors, channels]."""
    return tf.reshape(x, [tf.shape(x)[0], x.shape[1] * x.shape[2] * (x.shape[3] // channels), channels])
