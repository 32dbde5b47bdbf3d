"""EfficientDet's bidirectional feature pyramid (https://arxiv.org/abs/1911.09070, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.modeling.decoders.fpn import upsample
from tfod_transfer.modeling.layers import (
    ACTIVATIONS,
    KEY_SUFFIX,
    Block,
    ConvBatchNorm,
    Convolution,
    ConvolutionKind,
    LayerSettings,
    constant,
    truncated_normal,
    weights_for,
)
from tfod_transfer.registry import Structure

_KEY = "model/_feature_extractor/_bifpn_stage"
_INITIALIZER = truncated_normal(0.03)
_EPSILON = 1e-4  # keeps the sum of the weights from 0


class BiFPN(Block):
    """C3, C4, C5 -> P3 ... P7, each with `feature_depth` channels.

    P6 and P7 are pooled from C5. Then each iteration goes down from P7 to P3 and up again; a node adds up what its
    level had before, what it got on the way down, and its neighbour's newest map.

    Raises:
      RegistryError: `input_size` is not a multiple of the coarsest level's stride, so that an upsampled map would not
        fit the finer one.
    """

    def __init__(
        self, in_channels: Sequence[int], structure: Structure, input_size: int, settings: LayerSettings
    ) -> None:
        """Args: channels of C3, C4, C5; the structure; side of the network's input in pixels; settings."""
        super().__init__()
        stride = 2**structure.max_level
        if input_size % stride:
            raise errors.RegistryError(
                f"a BiFPN needs an input size that is a multiple of {stride}, found {input_size}: "
                f"use {round(input_size / stride) * stride or stride}"
            )
        levels = range(structure.min_level, structure.max_level + 1)
        # Where a map is in the list that `call` fills, the backbone's first, and what it is like.
        map_levels, map_channels = [*levels[: len(in_channels)]], [*in_channels]
        self._nodes: list[Node] = []
        self._inputs: list[list[int]] = []

        def add(level: int, inputs: list[int]) -> int:
            shapes = [(map_levels[i], map_channels[i]) for i in inputs]
            self._nodes.append(Node(len(self._nodes), level, shapes, structure, settings))
            self._inputs.append(inputs)
            map_levels.append(level)
            map_channels.append(structure.feature_depth)
            return len(map_levels) - 1

        newest = dict(zip(levels, range(len(in_channels)), strict=False))
        for level in levels[len(in_channels) :]:
            newest[level] = add(level, [newest[level - 1]])
        for _ in range(structure.bifpn_iterations):
            before = dict(newest)
            for level in reversed(levels[:-1]):
                newest[level] = add(level, [before[level], newest[level + 1]])
            for level in levels[1:]:
                own = [before[level]] if level == levels[-1] else [before[level], newest[level]]
                newest[level] = add(level, [*own, newest[level - 1]])
        self._outputs = [newest[level] for level in levels]

    def call(self, maps: Sequence[tf.Tensor], training: bool = False) -> list[tf.Tensor]:
        maps = list(maps)
        for node, inputs in zip(self._nodes, self._inputs, strict=True):
            maps.append(node([maps[i] for i in inputs], training=training))
        return [maps[i] for i in self._outputs]


class Node(Block):
    """Brings its inputs to one size and depth; if there are several, adds them up, activates and convolves the sum.

    Args:
      number: in the order of execution.
      level: of its output.
      inputs: (level, channels) of each input.
    """

    def __init__(
        self, number: int, level: int, inputs: Sequence[tuple[int, int]], structure: Structure, settings: LayerSettings
    ) -> None:
        super().__init__()
        depth, l2 = structure.feature_depth, structure.l2

        def conv_batch_norm(
            key: str, position: int, kind: ConvolutionKind, in_channels: int, kernel_size: int
        ) -> ConvBatchNorm:
            convolution = Convolution(
                f"{key}/{position}",
                kind,
                in_channels,
                depth,
                settings,
                kernel_size=kernel_size,
                kernel_initializer=_INITIALIZER,
                pointwise_initializer=_INITIALIZER,
                bias_initializer=constant(0.0),
                l2=l2,
                pointwise_l2=l2 if kind == "separable" else 0.0,
            )
            return ConvBatchNorm(convolution, [f"{key}/{position + 1}"], settings, activation=None)

        self._steps = [level - input_level for input_level, _ in inputs]
        self._projections = [
            None
            if channels == depth
            else conv_batch_norm(f"{_KEY}/node_input_blocks/{number}/{i}/1", 0, "dense", channels, kernel_size=1)
            for i, (_, channels) in enumerate(inputs)
        ]
        self._combine, self._convolve = None, None
        if len(inputs) > 1:
            if structure.bifpn_combine == "fast_attention":
                self._combine = FastAttention(f"{_KEY}/node_combine_op/{number}", len(inputs), settings)
            # The activation before the convolution has number 0.
            key = f"{_KEY}/node_post_combine_block/{number}"
            self._convolve = conv_batch_norm(key, 1, structure.convolutions, depth, kernel_size=3)
        self._activation = ACTIVATIONS[structure.activation]

    def call(self, maps: Sequence[tf.Tensor], training: bool = False) -> tf.Tensor:
        resampled = []
        for x, projection, step in zip(maps, self._projections, self._steps, strict=True):
            if projection is not None:
                x = projection(x, training=training)
            if step:
                x = tf.nn.max_pool2d(x, 3, 2, "SAME") if step > 0 else upsample(x)
            resampled.append(x)
        if self._convolve is None:
            return resampled[0]
        x = tf.add_n(resampled) if self._combine is None else self._combine(resampled)
        return self._convolve(self._activation(x), training=training)


class FastAttention(Block):
    """A weighted mean of maps [B, H, W, C] of the same shape: "fast normalized fusion", section 3.3 of the paper."""

    def __init__(self, key: str, num_inputs: int, settings: LayerSettings) -> None:
        """Args: checkpoint key of the layer; how many maps it adds up; settings."""
        super().__init__()
        self.key, self._execution = key, settings.execution
        self._weights = self.add_weight("bifpn_combine_weights", [num_inputs, 1], initializer="ones")

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        return {f"{self.key}/bifpn_combine_weights{KEY_SUFFIX}": self._weights}

    def call(self, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        (weights,) = weights_for(self._execution, maps[0].dtype, lambda: [self._normalized()])
        return tf.add_n([x * weight for x, weight in zip(maps, tf.unstack(weights), strict=True)])

    def _normalized(self) -> tf.Tensor:
        """[inputs], none negative, their sum a little below 1."""
        weights = tf.nn.relu(self._weights[:, 0])
        return weights / (tf.reduce_sum(weights) + _EPSILON)
