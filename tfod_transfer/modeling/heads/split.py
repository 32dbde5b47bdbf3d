"""A head in two halves: what stays as it is when the top layer alone trains, and the top layer."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer.modeling.layers import Block, Convolution


class SplitHead(Block):
    """Maps -> box encodings [B, A, 4] and class logits [B, A, slots].

    Attributes:
      class_layers: the convolutions whose output channels are class slots; they are all that `class_logits` uses.
    """

    class_layers: list[Convolution]

    def call(self, maps: Sequence[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        encodings, features = self.frozen_part(maps, training)
        return encodings, self.class_logits(features)

    @abc.abstractmethod
    def frozen_part(self, maps: Sequence[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Returns the box encodings, and for each level the features [B, H, W, C] that class logits are made from."""

    @abc.abstractmethod
    def class_logits(self, features: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the logits that the class layers make of the features."""


def by_anchor(x: tf.Tensor, channels: int) -> tf.Tensor:
    """[B, H, W, anchors * channels] -> [B, H * W * anchors, channels]."""
    return tf.reshape(x, [tf.shape(x)[0], x.shape[1] * x.shape[2] * (x.shape[3] // channels), channels])
