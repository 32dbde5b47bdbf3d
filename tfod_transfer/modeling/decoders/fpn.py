"""The zoo's feature pyramid. It differs from Model Garden's: P5 is linear, P4 is smoothed before it is upsampled."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.modeling.layers import (
    ACTIVATIONS,
    Block,
    ConvBatchNorm,
    Convolution,
    LayerSettings,
    constant,
    normal,
    truncated_normal,
)
from tfod_transfer.registry import Structure

_FPN = "model/_feature_extractor/_fpn_features_generator"
_COARSE = "model/_feature_extractor/_coarse_feature_layers"


class FeaturePyramid(Block):
    """C3, C4, C5 -> P3 ... P7, each with `feature_depth` channels.

    Raises:
      RegistryError: `input_size` is not a multiple of 32, so that an upsampled map would not fit the finer one.
    """

    def __init__(
        self, in_channels: Sequence[int], structure: Structure, input_size: int, settings: LayerSettings
    ) -> None:
        """Args: channels of C3, C4, C5; the structure; side of the network's input in pixels; settings."""
        super().__init__()
        if input_size % 32:
            raise errors.RegistryError(
                f"a feature pyramid needs an input size that is a multiple of 32, found {input_size}: "
                f"use {round(input_size / 32) * 32 or 32}"
            )
        depth, l2 = structure.feature_depth, structure.l2
        kernel_initializer = truncated_normal(0.03) if structure.backbone.startswith("resnet") else normal(0.01)

        def lateral(key: str, channels: int) -> Convolution:
            return Convolution(
                f"{_FPN}/{key}",
                "dense",
                channels,
                depth,
                settings,
                kernel_size=1,
                kernel_initializer=kernel_initializer,
                bias_initializer=constant(0.0),
                l2=l2,
            )

        def smoothing(key: str, strides: int) -> ConvBatchNorm:
            convolution = Convolution(
                f"{key}/0",
                structure.convolutions,
                depth,
                depth,
                settings,
                strides=strides,
                kernel_initializer=kernel_initializer,
                l2=l2,
            )
            return ConvBatchNorm(convolution, [f"{key}/1"], settings, ACTIVATIONS[structure.activation])

        c3, c4, c5 = in_channels
        self._lateral_5 = lateral("top_layers/0", c5)
        self._lateral_4, self._lateral_3 = lateral("residual_blocks/0/0", c4), lateral("residual_blocks/1/0", c3)
        self._smooth_4, self._smooth_3 = (smoothing(f"{_FPN}/conv_layers/{i}", 1) for i in range(2))
        self._down_6, self._down_7 = (smoothing(f"{_COARSE}/{i}", 2) for i in range(2))

    def call(self, maps: Sequence[tf.Tensor], training: bool = False) -> list[tf.Tensor]:
        c3, c4, c5 = maps
        p5 = self._lateral_5(c5)
        p4 = self._smooth_4(upsample(p5) + self._lateral_4(c4), training=training)
        p3 = self._smooth_3(upsample(p4) + self._lateral_3(c3), training=training)
        p6 = self._down_6(p5, training=training)
        return [p3, p4, p5, p6, self._down_7(p6, training=training)]


def upsample(x: tf.Tensor) -> tf.Tensor:
    """Repeats each row and column: [B, H, W, C] -> [B, 2H, 2W, C]."""
    shape = tf.shape(x)
    # TensorFlow Lite has no slices of six dimensions, which `tf.newaxis` would be here.
    x = tf.tile(tf.expand_dims(tf.expand_dims(x, 2), 4), [1, 1, 2, 1, 2, 1])
    return tf.reshape(x, [shape[0], 2 * shape[1], 2 * shape[2], x.shape[-1]])
