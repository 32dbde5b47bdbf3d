"""VGG-16 (https://arxiv.org/abs/1409.1556) reduced for SSD: its first two dense layers are atrous convolutions.

The weights of the 7x7x512x4096 and 4096x4096 dense layers are thinned out to 3x3x512x1024 and 1024x1024, as in the SSD
paper (arXiv 1512.02325, section 3, after ParseNet's).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from tfod_transfer.modeling.layers import KEY_SUFFIX, Block, Convolution, LayerSettings, constant
from tfod_transfer.modeling.multibox import scaled

Array = npt.NDArray[np.float32]

# filters and convolutions of each stage, conv1 to conv5: column D of table 1 of the paper
_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_DENSE_FILTERS = 1024
_DILATION = 6
_THINNED = 4  # of the dense layers' 4096 outputs every fourth stays, of their 7x7 inputs every third row and column
_POOLED = 7


class Vgg16Reduced(Block):
    """[B, S, S, 3] normalised images -> conv4_3 and fc7 at strides 8 and 16.

    Args:
      width: factor of every layer's number of filters.
      l2: coefficient for the kernels.

    Attributes:
      output_channels: channels of both maps.
    """

    unused_checkpoint_keys = None

    def __init__(self, width: float, settings: LayerSettings, l2: float) -> None:
        super().__init__()
        channels = 3

        def layer(name: str, filters: int, kernel_size: int = 3, dilation: int = 1) -> Convolution:
            nonlocal channels
            inputs, channels = channels, scaled(filters, width)
            return Convolution(
                f"model/{name}",
                "dense",
                inputs,
                channels,
                settings,
                kernel_size=kernel_size,
                dilation=dilation,
                kernel_initializer=tf_keras.initializers.GlorotUniform,
                bias_initializer=constant(0.0),
                l2=l2,
            )

        self._stages = [
            [layer(f"conv{stage}_{number}", filters) for number in range(1, count + 1)]
            for stage, (filters, count) in enumerate(_STAGES, start=1)
        ]
        self._fc6 = layer("fc6", _DENSE_FILTERS, dilation=_DILATION)
        self._fc7 = layer("fc7", _DENSE_FILTERS, kernel_size=1)
        self.output_channels = (self._stages[3][-1].filters, self._fc7.filters)

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        outputs = []
        # The third pooling keeps a last odd row, the fourth does not: 300 pixels give maps of 38 and 19 cells.
        for number, stage in enumerate(self._stages, start=1):
            for convolution in stage:
                x = tf.nn.relu(convolution(x))
            if number == 4:
                outputs.append(x)
            if number < len(self._stages):
                x = tf.nn.max_pool2d(x, 2, 2, "SAME" if number == 3 else "VALID")
        x = tf.nn.max_pool2d(x, 3, 1, "SAME")
        return [*outputs, tf.nn.relu(self._fc7(tf.nn.relu(self._fc6(x))))]

    def imagenet_values(self, layer: Callable[[str], list[Array] | None]) -> dict[str, Array]:
        """The weights of tf_keras.applications.VGG16 by checkpoint key.

        Args:
          layer: the arrays of a Keras layer, kernel first; None where there is none: the dense layers may be missing.
        """
        names = {
            f"conv{stage}_{number}": f"block{stage}_conv{number}"
            for stage, (_, count) in enumerate(_STAGES, start=1)
            for number in range(1, count + 1)
        }
        found = {name: layer(theirs) for name, theirs in names.items()}
        found |= {"fc6": _thinned(layer("fc1"), _POOLED), "fc7": _thinned(layer("fc2"), 1)}
        values: dict[str, Array] = {}
        for name, arrays in found.items():
            for part, array in zip(("kernel", "bias"), arrays or (), strict=bool(arrays)):
                values[f"model/{name}/{part}{KEY_SUFFIX}"] = array
        return values


def _thinned(arrays: list[Array] | None, side: int) -> list[Array] | None:
    """A dense layer [side * side * C, F] as a convolution [ceil(side / 3), ..., C', F / 4], and its bias.

    Where the layer before was thinned too (side 1), C' is C / 4, else C.
    """
    if arrays is None:
        return None
    kernel, bias = arrays
    kernel = kernel.reshape(side, side, -1, kernel.shape[-1])[::3, ::3, :: _THINNED if side == 1 else 1, ::_THINNED]
    return [kernel, bias[::_THINNED]]
