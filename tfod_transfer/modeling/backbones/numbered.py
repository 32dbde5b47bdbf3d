"""Backbone layers that a zoo checkpoint knows by their number in the order of execution."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras

from tfod_transfer.modeling.layers import (
    Activation,
    ConvBatchNorm,
    Convolution,
    ConvolutionKind,
    LayerSettings,
    Padding,
    normal,
)

_KEY = "model/_feature_extractor/classification_backbone/layer_with_weights-"
_DEPTHWISE_INITIALIZER = normal(math.sqrt(2 / 9))  # He's, of nine inputs: Keras would count all channels


def conv_batch_norm(
    number: int,
    kind: ConvolutionKind,
    in_channels: int,
    filters: int,
    settings: LayerSettings,
    *,
    l2: float,
    norm_number: int | None = None,
    kernel_size: int = 1,
    strides: int = 1,
    padding: Padding = "SAME",
    activation: Activation | None = tf.nn.relu6,
) -> ConvBatchNorm:
    """Convolution `number` of a backbone and its batch norm, which has the next number where none is given."""
    convolution = Convolution(
        f"{_KEY}{number}",
        kind,
        in_channels,
        filters,
        settings,
        kernel_size=kernel_size,
        strides=strides,
        padding=padding,
        kernel_initializer=_DEPTHWISE_INITIALIZER if kind == "depthwise" else tf_keras.initializers.HeNormal,
        l2=l2,
    )
    return ConvBatchNorm(
        convolution, [f"{_KEY}{number + 1 if norm_number is None else norm_number}"], settings, activation
    )
