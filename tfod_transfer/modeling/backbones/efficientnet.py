"""EfficientNet (https://arxiv.org/abs/1905.11946) up to the last map that EfficientDet uses.

Every member is tapped at the same named blocks, which are the last of their stages in B0 alone. What comes after the
last tap is in zoo checkpoints, but no detector runs it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf
import tf_keras

from tfod_transfer.modeling.backbones.mobilenet_v2 import divisible_by_8
from tfod_transfer.modeling.layers import (
    Activation,
    Block,
    ConvBatchNorm,
    Convolution,
    ConvolutionKind,
    LayerSettings,
    constant,
)

_KEY = "model/_feature_extractor/_efficientnet/layer_with_weights-"
_DROP_RATE = 0.2  # what would be the rate of a block after the last; it grows linearly from 0 at the first


class _Stage(NamedTuple):
    kernel_size: int
    filters: int
    repetitions: int
    expansion: int
    strides: int


_STAGES = (  # table 1 of the paper
    _Stage(3, 16, 1, 1, 1),
    _Stage(3, 24, 2, 6, 2),
    _Stage(5, 40, 2, 6, 2),
    _Stage(3, 80, 3, 6, 2),
    _Stage(5, 112, 3, 6, 1),
    _Stage(5, 192, 4, 6, 2),
    _Stage(3, 320, 1, 6, 1),
)
_STEM_FILTERS = 32
_TAPS = ((2, 1), (4, 2), (6, 0))  # (stage, block in it) whose outputs are C3, C4, C5


class EfficientNet(Block):
    """[B, S, S, 3] normalised images -> C3, C4, C5 at strides 8, 16, 32.

    Args:
      width: factor of every layer's number of filters.
      depth: factor of every stage's number of blocks.
      l2: coefficient for the kernels, depthwise ones excepted, and for the biases of squeeze-and-excitation.

    Attributes:
      output_channels: channels of C3, C4, C5.
      blocks: in the order of execution.
    """

    unused_checkpoint_keys = "model/_feature_extractor/classification_backbone/"

    def __init__(self, width: float, depth: float, settings: LayerSettings, l2: float) -> None:
        super().__init__()
        channels = divisible_by_8(_STEM_FILTERS * width)
        self._stem = _conv_batch_norm(0, "dense", 3, channels, settings, l2, kernel_size=3, strides=2)
        places = [(n, i) for n, stage in enumerate(_STAGES) for i in range(math.ceil(depth * stage.repetitions))]
        number, outputs = 2, []
        self.blocks: list[InvertedBottleneck] = []
        for index, (stage, repetition) in enumerate(places[: places.index(_TAPS[-1]) + 1]):
            block = InvertedBottleneck(
                number,
                channels,
                divisible_by_8(_STAGES[stage].filters * width),
                _STAGES[stage],
                settings,
                first=repetition == 0,
                # The blocks that are not built count too.
                drop_rate=_DROP_RATE * index / len(places),
                l2=l2,
            )
            self.blocks.append(block)
            channels, number = block.filters, block.next_number
            if (stage, repetition) in _TAPS:
                outputs.append(index)
        self._tapped = frozenset(outputs)
        self.output_channels = tuple(self.blocks[index].filters for index in outputs)

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        x = self._stem(x, training=training)
        outputs = []
        for index, block in enumerate(self.blocks):
            seed = None if noise_seed is None else tf.random.experimental.stateless_fold_in(noise_seed, index)
            x = block(x, training=training, noise_seed=seed)
            if index in self._tapped:
                outputs.append(x)
        return outputs


class InvertedBottleneck(Block):
    """A widening 1x1, a depthwise and a narrowing 1x1 convolution, channels weighted by squeeze-and-excitation.

    Args:
      number: of its first layer in the checkpoint.
      filters: channels of its output.
      stage: where it is; strides are those of the stage's `first` block.
      drop_rate: how often stochastic depth leaves the branch out, if there is a shortcut beside it.

    Attributes:
      filters: channels of its output.
      drop_rate: as given; 0 without a shortcut.
      next_number: of the layer after it.
    """

    def __init__(
        self,
        number: int,
        in_channels: int,
        filters: int,
        stage: _Stage,
        settings: LayerSettings,
        *,
        first: bool,
        drop_rate: float,
        l2: float,
    ) -> None:
        super().__init__()
        self.filters = filters
        inner, strides = in_channels * stage.expansion, stage.strides if first else 1
        self._expand = None
        if stage.expansion != 1:
            self._expand = _conv_batch_norm(number, "dense", in_channels, inner, settings, l2)
            number += 2
        self._depthwise = _conv_batch_norm(
            number, "depthwise", inner, inner, settings, 0.0, kernel_size=stage.kernel_size, strides=strides
        )
        # The paper squeezes to a quarter of the block's input, not of the widened map.
        squeezed = max(1, in_channels // 4)
        self._squeeze = _convolution(number + 2, "dense", inner, squeezed, settings, l2, bias=True)
        self._excite = _convolution(number + 3, "dense", squeezed, inner, settings, l2, bias=True)
        self._project = _conv_batch_norm(number + 4, "dense", inner, filters, settings, l2, activation=None)
        self._residual = strides == 1 and in_channels == filters
        self.drop_rate = drop_rate if self._residual else 0.0
        self.next_number = number + 6

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> tf.Tensor:
        """`noise_seed`: int [2] of this block's own, or None for no stochastic depth."""
        shortcut = x
        if self._expand is not None:
            x = self._expand(x, training=training)
        x = self._depthwise(x, training=training)
        means = tf.cast(tf.reduce_mean(tf.cast(x, tf.float32), axis=[1, 2], keepdims=True), x.dtype)
        x *= tf.nn.sigmoid(self._excite(tf.nn.silu(self._squeeze(means))))
        x = self._project(x, training=training)
        if not self._residual:
            return x
        if training and noise_seed is not None and self.drop_rate:
            x = drop_branches(x, self.drop_rate, noise_seed)
        return shortcut + x


def drop_branches(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Stochastic depth (arXiv 1603.09382): zeroes whole images of [B, H, W, C], scales the others to keep the mean.

    Args:
      x: the branch beside a shortcut.
      rate: share of the images that lose it, below 1.
      seed: int [2], decides which; others when compiled with XLA, which has its own generator.
    """
    kept = tf.random.stateless_uniform([tf.shape(x)[0], 1, 1, 1], seed) >= rate
    return x * (tf.cast(kept, x.dtype) / (1.0 - rate))


def _convolution(
    number: int,
    kind: ConvolutionKind,
    in_channels: int,
    filters: int,
    settings: LayerSettings,
    l2: float,
    *,
    kernel_size: int = 1,
    strides: int = 1,
    bias: bool = False,
) -> Convolution:
    return Convolution(
        f"{_KEY}{number}",
        kind,
        in_channels,
        filters,
        settings,
        kernel_size=kernel_size,
        strides=strides,
        kernel_initializer=lambda seed: tf_keras.initializers.VarianceScaling(2.0, "fan_out", seed=seed),
        bias_initializer=constant(0.0) if bias else None,
        l2=l2,
        bias_l2=l2 if bias else 0.0,
    )


def _conv_batch_norm(
    number: int,
    kind: ConvolutionKind,
    in_channels: int,
    filters: int,
    settings: LayerSettings,
    l2: float,
    *,
    kernel_size: int = 1,
    strides: int = 1,
    activation: Activation | None = tf.nn.silu,
) -> ConvBatchNorm:
    convolution = _convolution(
        number, kind, in_channels, filters, settings, l2, kernel_size=kernel_size, strides=strides
    )
    return ConvBatchNorm(convolution, [f"{_KEY}{number + 1}"], settings, activation)
