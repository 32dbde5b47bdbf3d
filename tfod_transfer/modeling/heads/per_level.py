"""SSD's head: each feature map has 1x1 convolutions of its own for boxes and for classes."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer.modeling.heads.split import SplitHead, by_anchor
from tfod_transfer.modeling.heads.weight_shared import CLASS_BIAS, KERNEL_STDDEV
from tfod_transfer.modeling.layers import Convolution, LayerSettings, constant, normal
from tfod_transfer.registry import Structure

_HEADS = "model/_box_predictor/_prediction_heads"


def box_key(level: int) -> str:
    """Checkpoint key of the box convolution of the map with this number, 0 being the finest."""
    return f"{_HEADS}/box_encodings/{level}/_box_encoder_layers/0"


def class_key(level: int) -> str:
    """The same of the class convolution."""
    return f"{_HEADS}/class_predictions_with_background/{level}/_class_predictor_layers/0"


class PerLevelHead(SplitHead):
    """Maps -> box encodings [B, A, 4] and class logits [B, A, slots], levels, rows, columns, anchors in order.

    Attributes:
      num_slots: class logits of an anchor.
      class_layers: the convolutions whose output channels are class slots, one for each map.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        structure: Structure,
        anchors_per_cell: Sequence[int],
        num_slots: int,
        settings: LayerSettings,
    ) -> None:
        """Args: channels of the maps; the structure; anchors of a cell on each map; class slots; settings."""
        super().__init__()

        def prediction(key: str, level: int, channels: int, bias: float) -> Convolution:
            return Convolution(
                key,
                "dense",
                in_channels[level],
                anchors_per_cell[level] * channels,
                settings,
                kernel_size=1,
                kernel_initializer=normal(KERNEL_STDDEV),
                bias_initializer=constant(bias),
                l2=structure.l2,
            )

        levels = range(len(in_channels))
        self.num_slots = num_slots
        self._box_layers = [prediction(box_key(level), level, 4, 0.0) for level in levels]
        self.class_layers = [prediction(class_key(level), level, num_slots, CLASS_BIAS) for level in levels]

    def frozen_part(self, maps: Sequence[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        boxes = [by_anchor(layer(x), 4) for layer, x in zip(self._box_layers, maps, strict=True)]
        return tf.concat(boxes, axis=1), tuple(maps)

    def class_logits(self, features: Sequence[tf.Tensor]) -> tf.Tensor:
        logits = [by_anchor(layer(x), self.num_slots) for layer, x in zip(self.class_layers, features, strict=True)]
        return tf.concat(logits, axis=1)
