"""ResNet-50 (https://arxiv.org/abs/1512.03385) as tf_keras.applications has it, whose ImageNet weights it takes.

Convolutions have biases, batch norm another epsilon than the zoo's ResNet, and the activation is a plain ReLU. MXNet's
SSD has the second version, where batch norm comes first; of the maps it takes, these are the same two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.modeling.layers import (
    KEY_SUFFIX,
    Activation,
    Block,
    ConvBatchNorm,
    Convolution,
    LayerSettings,
    Padding,
    constant,
)
from tfod_transfer.modeling.multibox import scaled

Array = npt.NDArray[np.float32]

# bottlenecks, inner filters and stride of each stage, conv2 to conv5
_STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
_STEM_FILTERS = 64
_EXPANSION = 4
_NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")


class KerasResNet50(Block):
    """[B, S, S, 3] normalised images -> the outputs of conv4 and conv5 at strides 16 and 32.

    Args:
      width: factor of every layer's number of filters.
      l2: coefficient for the kernels.

    Attributes:
      output_channels: channels of both maps.
    """

    unused_checkpoint_keys = None

    def __init__(self, width: float, settings: LayerSettings, l2: float) -> None:
        super().__init__()
        self._settings, self._l2 = settings, l2
        self._names: list[str] = []
        channels = scaled(_STEM_FILTERS, width)
        self._stem = self._layer("conv1", 3, channels, kernel_size=7, strides=2, padding=3)
        self._stages: list[list[dict[str, ConvBatchNorm]]] = []
        for stage, (count, base_filters, first_stride) in enumerate(_STAGES, start=2):
            filters, blocks = scaled(base_filters, width), []
            for number in range(1, count + 1):
                name, strides = f"conv{stage}_block{number}", first_stride if number == 1 else 1
                wide = filters * _EXPANSION
                block = {
                    "reduce": self._layer(f"{name}_1", channels, filters, strides=strides),
                    "conv": self._layer(f"{name}_2", filters, filters, kernel_size=3),
                    "widen": self._layer(f"{name}_3", filters, wide, activation=None),
                }
                if number == 1:
                    block["shortcut"] = self._layer(f"{name}_0", channels, wide, strides=strides, activation=None)
                blocks.append(block)
                channels = wide
            self._stages.append(blocks)
        self.output_channels = (channels // 2, channels)

    def _layer(
        self,
        name: str,
        inputs: int,
        filters: int,
        kernel_size: int = 1,
        strides: int = 1,
        padding: Padding = "SAME",
        activation: Activation | None = tf.nn.relu,
    ) -> ConvBatchNorm:
        """A convolution and its batch norm, called as Keras calls them."""
        self._names.append(name)
        convolution = Convolution(
            f"model/{name}_conv",
            "dense",
            inputs,
            filters,
            self._settings,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            bias_initializer=constant(0.0),
            l2=self._l2,
        )
        return ConvBatchNorm(convolution, [f"model/{name}_bn"], self._settings, activation)

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        x = tf.pad(self._stem(x, training=training), [[0, 0], [1, 1], [1, 1], [0, 0]])  # nothing is below 0
        x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        outputs = []
        for blocks in self._stages:
            for block in blocks:
                shortcut = block["shortcut"](x, training=training) if "shortcut" in block else x
                x = block["conv"](block["reduce"](x, training=training), training=training)
                x = tf.nn.relu(shortcut + block["widen"](x, training=training))
            outputs.append(x)
        return outputs[2:]

    def imagenet_values(self, layer: Callable[[str], list[Array] | None]) -> dict[str, Array]:
        """The weights of tf_keras.applications.ResNet50 by checkpoint key.

        Args:
          layer: the arrays of a Keras layer, in Keras's order; None where there is none.
        """
        values: dict[str, Array] = {}
        for name in self._names:
            for kind, parts in (("conv", ("kernel", "bias")), ("bn", _NORM_PARTS)):
                arrays = layer(f"{name}_{kind}")
                for part, array in zip(parts, arrays or (), strict=bool(arrays)):
                    values[f"model/{name}_{kind}/{part}{KEY_SUFFIX}"] = array
        return values
