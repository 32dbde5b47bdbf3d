"""ResNet (https://arxiv.org/abs/1512.03385) as the zoo's SSD FPN models use it.

Version 1: the first 1x1 convolution of a stage has the stride. Model Garden's ResNet strides in the 3x3 convolution and
pads its stem otherwise; that of Keras has biases, another epsilon and plain ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer.modeling.backbones.numbered import conv_batch_norm
from tfod_transfer.modeling.layers import Block, LayerSettings

_STEM_FILTERS = 64
_EXPANSION = 4  # a bottleneck's output channels for each of its inner ones


class ResNet(Block):
    """[B, S, S, 3] normalised images -> C3, C4, C5 at strides 8, 16, 32.

    Args:
      repetitions: bottlenecks of each stage, conv2 to conv5: table 1 of the paper.
      l2: coefficient for the kernels.

    Attributes:
      output_channels: channels of C3, C4, C5.
    """

    unused_checkpoint_keys = None

    def __init__(self, repetitions: Sequence[int], settings: LayerSettings, l2: float) -> None:
        super().__init__()
        self._stem = conv_batch_norm(0, "dense", 3, _STEM_FILTERS, settings, l2=l2, kernel_size=7, strides=2, padding=3)
        channels, number = _STEM_FILTERS, 2
        self._stages: list[list[Bottleneck]] = []
        for stage, count in enumerate(repetitions):
            blocks = []
            for repetition in range(count):
                filters, first = _STEM_FILTERS * 2**stage, repetition == 0
                strides = 2 if first and stage > 0 else 1
                blocks.append(Bottleneck(number, channels, filters, settings, strides=strides, project=first, l2=l2))
                channels, number = filters * _EXPANSION, blocks[-1].next_number
            self._stages.append(blocks)
        self.output_channels = tuple(_STEM_FILTERS * 2**stage * _EXPANSION for stage in range(1, len(repetitions)))

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        x = tf.nn.max_pool2d(self._stem(x, training=training), 3, 2, "SAME")
        outputs = []
        for blocks in self._stages:
            for block in blocks:
                x = block(x, training=training)
            outputs.append(x)
        return outputs[1:]


class Bottleneck(Block):
    """A 1x1, a 3x3 and a widening 1x1 convolution, and the shortcut past them.

    Args:
      number: of its first layer in the checkpoint.
      filters: of the inner convolutions.
      strides: of the first convolution and of the shortcut.
      project: the shortcut is a convolution, not the input itself.

    Attributes:
      next_number: of the layer after it.
    """

    def __init__(
        self,
        number: int,
        in_channels: int,
        filters: int,
        settings: LayerSettings,
        *,
        strides: int,
        project: bool,
        l2: float,
    ) -> None:
        super().__init__()
        last, out_channels = number + 4, filters * _EXPANSION
        self._reduce = conv_batch_norm(number, "dense", in_channels, filters, settings, l2=l2, strides=strides)
        self._conv = conv_batch_norm(number + 2, "dense", filters, filters, settings, l2=l2, kernel_size=3)
        # The two convolutions that meet in the sum come before their batch norms, the shortcut first.
        self._shortcut = None
        if project:
            self._shortcut = conv_batch_norm(
                last,
                "dense",
                in_channels,
                out_channels,
                settings,
                l2=l2,
                norm_number=last + 2,
                strides=strides,
                activation=None,
            )
        self._widen = conv_batch_norm(
            last + project,
            "dense",
            filters,
            out_channels,
            settings,
            l2=l2,
            norm_number=last + (3 if project else 1),
            activation=None,
        )
        self.next_number = last + (4 if project else 2)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        shortcut = x if self._shortcut is None else self._shortcut(x, training=training)
        x = self._conv(self._reduce(x, training=training), training=training)
        return tf.nn.relu6(shortcut + self._widen(x, training=training))
