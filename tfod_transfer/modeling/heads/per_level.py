"""SSD's head: each feature map has convolutions of its own for boxes and for classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf
import tf_keras

from tfod_transfer.modeling.heads.split import SplitHead, by_anchor
from tfod_transfer.modeling.heads.weight_shared import CLASS_BIAS, KERNEL_STDDEV
from tfod_transfer.modeling.layers import Convolution, Initializer, LayerSettings, constant, normal
from tfod_transfer.registry import Structure

_HEADS = "model/_box_predictor/_prediction_heads"


def box_key(level: int) -> str:
    """Checkpoint key of the box convolution of the map with this number, 0 being the finest."""
    return f"{_HEADS}/box_encodings/{level}/_box_encoder_layers/0"


def class_key(level: int) -> str:
    """The same of the class convolution."""
    return f"{_HEADS}/class_predictions_with_background/{level}/_class_predictor_layers/0"


@dataclasses.dataclass(frozen=True)
class Predictors:
    """What the convolutions of a head are like.

    Attributes:
      kernel_size: of all.
      kernel_initializer: of all.
      class_bias: start of the class logits.
      box_key: checkpoint key of the box convolution of a map, 0 being the finest.
      class_key: the same of the class convolution.
    """

    kernel_size: int
    kernel_initializer: Initializer
    class_bias: float
    box_key: Callable[[int], str]
    class_key: Callable[[int], str]


OBJECT_DETECTION_API = Predictors(1, normal(KERNEL_STDDEV), CLASS_BIAS, box_key, class_key)
MULTIBOX = Predictors(
    3,
    tf_keras.initializers.GlorotUniform,
    0.0,
    lambda level: f"model/multi_feat_{level}_loc_pred",
    lambda level: f"model/multi_feat_{level}_cls_pred",
)


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
        predictors: Predictors = OBJECT_DETECTION_API,
    ) -> None:
        """Args: channels of the maps; the structure; anchors of a cell on each map; class slots; settings; layers."""
        super().__init__()

        def prediction(key: str, level: int, channels: int, bias: float) -> Convolution:
            return Convolution(
                key,
                "dense",
                in_channels[level],
                anchors_per_cell[level] * channels,
                settings,
                kernel_size=predictors.kernel_size,
                kernel_initializer=predictors.kernel_initializer,
                bias_initializer=constant(bias),
                l2=structure.l2,
            )

        levels = range(len(in_channels))
        self.num_slots = num_slots
        self._box_layers = [prediction(predictors.box_key(level), level, 4, 0.0) for level in levels]
        self.class_layers = [
            prediction(predictors.class_key(level), level, num_slots, predictors.class_bias) for level in levels
        ]

    def frozen_part(self, maps: Sequence[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        boxes = [by_anchor(layer(x), 4) for layer, x in zip(self._box_layers, maps, strict=True)]
        return tf.concat(boxes, axis=1), tuple(maps)

    def class_logits(self, features: Sequence[tf.Tensor]) -> tf.Tensor:
        logits = [by_anchor(layer(x), self.num_slots) for layer, x in zip(self.class_layers, features, strict=True)]
        return tf.concat(logits, axis=1)
