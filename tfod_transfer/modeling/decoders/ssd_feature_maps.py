"""SSD's feature maps: the backbone's own, then coarser ones made from the last (arXiv 1512.02325, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer.modeling.layers import (
    ACTIVATIONS,
    Block,
    ConvBatchNorm,
    Convolution,
    LayerSettings,
    truncated_normal,
)
from tfod_transfer.registry import Structure

_KEY = "model/_feature_extractor/feature_map_generator/convolutions"
_DIVISORS = (1, 2, 2, 4)  # of feature_depth, for each map that is made here


def output_channels(in_channels: Sequence[int], structure: Structure) -> list[int]:
    """Channels of all maps, the backbone's first."""
    made = _DIVISORS[: structure.num_levels - len(in_channels)]
    return [*in_channels, *(structure.feature_depth // divisor for divisor in made)]


class SsdFeatureMaps(Block):
    """The backbone's maps as they are, then maps of half the side each: a 1x1 convolution and a 3x3 of stride 2."""

    def __init__(
        self, in_channels: Sequence[int], structure: Structure, input_size: int, settings: LayerSettings
    ) -> None:
        """Args: channels of the backbone's maps; the structure; side of the network's input, any; settings."""
        super().__init__()
        del input_size
        channels = output_channels(in_channels, structure)

        def layer(key: str, position: int, inputs: int, filters: int, kernel_size: int, strides: int) -> ConvBatchNorm:
            convolution = Convolution(
                f"{key}/{position}",
                "dense" if kernel_size == 1 else structure.convolutions,
                inputs,
                filters,
                settings,
                kernel_size=kernel_size,
                strides=strides,
                kernel_initializer=truncated_normal(0.03),
                l2=structure.l2,
            )
            return ConvBatchNorm(convolution, [f"{key}/{position + 1}"], settings, ACTIVATIONS[structure.activation])

        self._made: list[list[ConvBatchNorm]] = []
        for number in range(len(in_channels), len(channels)):
            inputs, filters = channels[number - 1], channels[number]
            squeeze = layer(f"{_KEY}/{number}", 0, inputs, filters // 2, kernel_size=1, strides=1)
            # The activation in between took a number too.
            shrink = layer(f"{_KEY}/{number}", 3, filters // 2, filters, kernel_size=3, strides=2)
            self._made.append([squeeze, shrink])

    def call(self, maps: Sequence[tf.Tensor], training: bool = False) -> list[tf.Tensor]:
        maps = list(maps)
        for squeeze, shrink in self._made:
            maps.append(shrink(squeeze(maps[-1], training=training), training=training))
        return maps
