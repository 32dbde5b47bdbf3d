"""MobileNetV1 (https://arxiv.org/abs/1704.04861) as the zoo's SSD FPN model uses it."""

from __future__ import annotations

import tensorflow as tf

from tfod_transfer.modeling.backbones.numbered import conv_batch_norm
from tfod_transfer.modeling.layers import Block, ConvBatchNorm, LayerSettings

# (filters, stride) of each depthwise separable block: table 1 of the paper.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
_TAPS = (4, 10, 12)  # blocks whose output is C3, C4 and C5


class MobileNetV1(Block):
    """[B, S, S, 3] normalised images -> C3, C4, C5 at strides 8, 16, 32.

    Args:
      depth_multiplier: factor of every layer's number of filters.
      l2: coefficient for the kernels, depthwise ones included.

    Attributes:
      output_channels: channels of C3, C4, C5.
    """

    unused_checkpoint_keys = None

    def __init__(self, depth_multiplier: float, settings: LayerSettings, l2: float) -> None:
        super().__init__()
        channels = int(32 * depth_multiplier)
        self._stem = conv_batch_norm(0, "dense", 3, channels, settings, l2=l2, kernel_size=3, strides=2)
        self._blocks: list[list[ConvBatchNorm]] = []
        outputs = []
        for index, (base_filters, strides) in enumerate(_BLOCKS):
            number, filters = 2 + 4 * index, int(base_filters * depth_multiplier)
            depthwise = conv_batch_norm(
                number, "depthwise", channels, channels, settings, l2=l2, kernel_size=3, strides=strides
            )
            self._blocks.append([depthwise, conv_batch_norm(number + 2, "dense", channels, filters, settings, l2=l2)])
            channels = filters
            outputs.append(channels)
        self.output_channels = tuple(outputs[tap] for tap in _TAPS)

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        x = self._stem(x, training=training)
        outputs = []
        for index, (depthwise, pointwise) in enumerate(self._blocks):
            x = pointwise(depthwise(x, training=training), training=training)
            if index in _TAPS:
                outputs.append(x)
        return outputs
