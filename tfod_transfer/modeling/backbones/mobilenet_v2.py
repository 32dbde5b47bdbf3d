"""MobileNetV2 (https://arxiv.org/abs/1801.04381) as the zoo's SSD and SSD FPNLite models use it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer.modeling.backbones.numbered import conv_batch_norm
from tfod_transfer.modeling.layers import Block, ConvBatchNorm, ConvolutionKind, LayerSettings

# (expansion, filters, repetitions, stride of the first): table 2 of the paper.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# (number of a block, layer in it or None for the block's output) of the maps before the last.
FPN_TAPS = ((5, None), (12, None))
SSD_TAPS = ((13, 0),)


class MobileNetV2(Block):
    """[B, S, S, 3] normalised images -> maps, finest first; the last, at stride 32, is the last 1x1 convolution's.

    Args:
      depth_multiplier: factor of every layer's number of filters (the last never has fewer than 1280).
      l2: coefficient for the kernels, depthwise ones included.
      taps: what comes before the last map: FPN_TAPS, C3 and C4 at strides 8 and 16; or SSD_TAPS, the expansion of block
        13 at stride 16.

    Attributes:
      output_channels: channels of the maps.
    """

    unused_checkpoint_keys = None

    def __init__(
        self,
        depth_multiplier: float,
        settings: LayerSettings,
        l2: float,
        taps: Sequence[tuple[int, int | None]] = FPN_TAPS,
    ) -> None:
        super().__init__()
        self._next_key, self._settings, self._l2 = 0, settings, l2
        self._taps = frozenset(taps)
        channels = divisible_by_8(32 * depth_multiplier)
        self._stem = self._conv("dense", 3, channels, kernel_size=3, strides=2)
        self._blocks: list[list[ConvBatchNorm]] = []
        self._residual: list[bool] = []
        for expansion, base_filters, repetitions, first_stride in _STAGES:
            filters = divisible_by_8(base_filters * depth_multiplier)
            for repetition in range(repetitions):
                strides = first_stride if repetition == 0 else 1
                inner = channels * expansion
                block = [] if expansion == 1 else [self._conv("dense", channels, inner)]
                block.append(self._conv("depthwise", inner, inner, kernel_size=3, strides=strides))
                block.append(self._conv("dense", inner, filters, activation=False))
                self._blocks.append(block)
                self._residual.append(strides == 1 and channels == filters)
                channels = filters
        last = max(1280, divisible_by_8(1280 * depth_multiplier))
        self._last = self._conv("dense", channels, last)
        tapped = [self._blocks[number][-1 if layer is None else layer] for number, layer in taps]
        self.output_channels = (*(layer.convolution.filters for layer in tapped), last)

    def _conv(
        self,
        kind: ConvolutionKind,
        in_channels: int,
        filters: int,
        kernel_size: int = 1,
        strides: int = 1,
        activation: bool = True,
    ) -> ConvBatchNorm:
        """The next convolution and its batch norm in the checkpoint's numbering."""
        number, self._next_key = self._next_key, self._next_key + 2
        return conv_batch_norm(
            number,
            kind,
            in_channels,
            filters,
            self._settings,
            l2=self._l2,
            kernel_size=kernel_size,
            strides=strides,
            activation=tf.nn.relu6 if activation else None,
        )

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        x = self._stem(x, training=training)
        outputs = []
        for number, (block, residual) in enumerate(zip(self._blocks, self._residual, strict=True)):
            shortcut = x
            for position, layer in enumerate(block):
                x = layer(x, training=training)
                if (number, position) in self._taps:
                    outputs.append(x)
            x = shortcut + x if residual else x
            if (number, None) in self._taps:
                outputs.append(x)
        return [*outputs, self._last(x, training=training)]


def divisible_by_8(filters: float) -> int:
    """The nearest multiple of 8, at least 8, never more than a tenth below `filters` (as the paper's code rounds)."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded
