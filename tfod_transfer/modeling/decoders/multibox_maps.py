"""The feature maps of SageMaker's SSD: the backbone's two, then coarser ones without batch norm; see multibox.py."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from tfod_transfer.modeling import multibox
from tfod_transfer.modeling.layers import KEY_SUFFIX, Block, Convolution, LayerSettings, constant
from tfod_transfer.registry import Structure

_FIRST_SCALE = 20.0  # of a map whose pixels have length 1 (section 3.1 of the paper)
_SCALE_KEY = f"model/relu4_3_scale/gamma{KEY_SUFFIX}"


def output_channels(in_channels: Sequence[int], structure: Structure) -> list[int]:
    """Channels of all maps, the backbone's first."""
    return [*in_channels, *(extra.filters for extra in multibox.extra_maps(structure))]


class UnitLength(Block):
    """Gives the channels of each pixel length 1, then scales each channel by a trained factor (arXiv 1506.04579)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        initializer = tf_keras.initializers.Constant(_FIRST_SCALE)
        self.scale = self.add_weight("gamma", (channels,), initializer=initializer)

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        """Maps the factors' checkpoint key to them."""
        return {_SCALE_KEY: self.scale}

    def call(self, x: tf.Tensor) -> tf.Tensor:
        # In float32: a sum of 512 squares overflows float16.
        return tf.cast(tf.math.l2_normalize(tf.cast(x, tf.float32), axis=-1, epsilon=1e-10) * self.scale, x.dtype)


class MultiboxMaps(Block):
    """Two maps of a backbone -> six or seven; the first of VGG-16's, whose values are large, is normalised."""

    def __init__(
        self, in_channels: Sequence[int], structure: Structure, input_size: int, settings: LayerSettings
    ) -> None:
        """Args: channels of the backbone's maps; the structure; side of the network's input, any; settings."""
        super().__init__()
        del input_size
        self._first = UnitLength(in_channels[0]) if structure.backbone == "vgg16_reduced" else None
        channels = in_channels[-1]
        self._made: list[list[Convolution]] = []
        for number, extra in enumerate(multibox.extra_maps(structure), start=len(in_channels)):
            squeezed = multibox.squeezed_filters(extra, structure)
            shapes = ((channels, squeezed, 1, 1, 0), (squeezed, extra.filters, 3, extra.stride, extra.padding))
            self._made.append(
                [
                    Convolution(
                        f"model/multi_feat_{number}_conv_{size}x{size}",
                        "dense",
                        inputs,
                        filters,
                        settings,
                        kernel_size=size,
                        strides=stride,
                        padding=padding,
                        kernel_initializer=tf_keras.initializers.GlorotUniform,
                        bias_initializer=constant(0.0),
                        l2=structure.l2,
                    )
                    for inputs, filters, size, stride, padding in shapes
                ]
            )
            channels = extra.filters

    def call(self, maps: Sequence[tf.Tensor], training: bool = False) -> list[tf.Tensor]:
        x = maps[-1]
        outputs = list(maps) if self._first is None else [self._first(maps[0]), *maps[1:]]
        for squeeze, shrink in self._made:
            x = tf.nn.relu(shrink(tf.nn.relu(squeeze(x))))
            outputs.append(x)
        return outputs
