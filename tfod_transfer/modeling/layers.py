"""Convolutions and batch norm that know their keys in a zoo checkpoint, and two ways to execute them.

The Model Garden's MobileNet blocks hold the same variables, but they cannot fold a frozen batch norm into the
convolution before it, which is worth a sixth of a training step on a CPU (benchmarks/execution_policies.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import tensorflow as tf
import tf_keras

KEY_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
BATCH_NORM_EPSILON = 1e-3  # of every model in the zoo

BatchNormPolicy = Literal["fused", "folded"]
ConvolutionKind = Literal["dense", "depthwise", "separable"]
Activation = Callable[[tf.Tensor], tf.Tensor]
Initializer = Callable[[int], tf_keras.initializers.Initializer]
Padding = Literal["SAME"] | int

ACTIVATIONS: dict[str, Activation] = {"relu6": tf.nn.relu6, "swish": tf.nn.silu, "relu": tf.nn.relu}


def normal(stddev: float) -> Initializer:
    """N(0, stddev) as a function of a seed."""
    return lambda seed: tf_keras.initializers.RandomNormal(stddev=stddev, seed=seed)


def truncated_normal(stddev: float) -> Initializer:
    """N(0, stddev), cut off at two standard deviations, as a function of a seed."""
    return lambda seed: tf_keras.initializers.TruncatedNormal(stddev=stddev, seed=seed)


def constant(value: float) -> Initializer:
    """The same value everywhere, whatever the seed."""
    return lambda seed: tf_keras.initializers.Constant(value)


@dataclasses.dataclass
class Execution:
    """How the layers of one detector compute. It may change from one trace to the next: results agree to rounding.

    Attributes:
      dtype: of activations and convolutions; variables, losses and boxes are float32 always.
      batch_norm: how batch norm with moving statistics runs: "fused" after the convolution, or "folded" into it.
      constant_weights: traced functions hold folded weights as constants instead of reading variables; for export.
      xla: the network is compiled with XLA.
    """

    dtype: tf.DType = tf.float32
    batch_norm: BatchNormPolicy = "folded"
    constant_weights: bool = False
    xla: bool = False

    @contextlib.contextmanager
    def changed_to(self, other: Execution) -> Iterator[None]:
        """What is traced inside the block is executed as `other` says."""
        before = dataclasses.asdict(self)
        vars(self).update(dataclasses.asdict(other))
        try:
            yield
        finally:
            vars(self).update(before)


@dataclasses.dataclass(frozen=True)
class LayerSettings:
    """What all layers of one detector share.

    Attributes:
      batch_norm_momentum: of the moving statistics.
      freeze_batch_norm: training uses the moving statistics and leaves them alone; scale and offset still train.
      execution: how the layers compute.
      seed: decides every initial value, together with the variable's key.
      batch_norm_epsilon: added to the variance.
    """

    batch_norm_momentum: float
    freeze_batch_norm: bool
    execution: Execution
    seed: int
    batch_norm_epsilon: float = BATCH_NORM_EPSILON


class Block(tf_keras.layers.Layer):
    """A layer that takes tensors of any type as they are, where Keras would cast them to the layer's own."""

    def __init__(self) -> None:
        super().__init__(autocast=False)
        self.built = True

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        """Maps the checkpoint key of each variable that is this layer's own, not a sublayer's, to the variable."""
        return {}


def weights_for(
    execution: Execution, dtype: tf.DType, compute: Callable[[], Sequence[tf.Tensor | None]]
) -> list[tf.Tensor | None]:
    """What `compute` makes of variables alone, in `dtype`; constants where `execution` asks for them."""
    if execution.constant_weights:
        with tf.init_scope():
            arrays = [None if each is None else tf.cast(each, dtype).numpy() for each in compute()]
        return [None if each is None else tf.constant(each) for each in arrays]
    return [None if each is None else tf.cast(each, dtype) for each in compute()]


class Convolution(Block):
    """A dense, depthwise or separable convolution whose output can be scaled and shifted for free.

    Variables are named as in a checkpoint: `kernel` (dense), `depthwise_kernel` (depthwise), both `depthwise_kernel`
    and `pointwise_kernel` (separable, nothing in between), and `bias`.

    Args:
      key: checkpoint key of the layer, e.g. "model/_feature_extractor/classification_backbone/layer_with_weights-0".
      padding: "SAME", or that many zeros on each side.
      dilation: distance of the inputs that neighbouring weights of a dense kernel see.
      l2: coefficient of the squared kernel in the regularisation loss; a separable pointwise kernel has none.
      pointwise_l2: the same for a separable pointwise kernel.
      bias_l2: the same for the bias.
    """

    def __init__(
        self,
        key: str,
        kind: ConvolutionKind,
        in_channels: int,
        filters: int,
        settings: LayerSettings,
        *,
        kernel_size: int = 3,
        strides: int = 1,
        padding: Padding = "SAME",
        dilation: int = 1,
        kernel_initializer: Initializer = tf_keras.initializers.HeNormal,
        pointwise_initializer: Initializer = tf_keras.initializers.GlorotUniform,
        bias_initializer: Initializer | None = None,
        l2: float = 0.0,
        pointwise_l2: float = 0.0,
        bias_l2: float = 0.0,
    ) -> None:
        super().__init__()
        self.key, self.kind, self.strides, self.filters, self._seed = key, kind, strides, filters, settings.seed
        self._dilation = dilation
        self._padding = padding if padding == "SAME" else [[0, 0], [padding] * 2, [padding] * 2, [0, 0]]
        self._execution = settings.execution
        size = (kernel_size, kernel_size)
        first = "kernel" if kind == "dense" else "depthwise_kernel"
        shape = (*size, in_channels, filters if kind == "dense" else 1)
        self._kernels = {first: self._variable(first, shape, kernel_initializer)}
        if kind == "separable":
            shape = (1, 1, in_channels, filters)
            self._kernels["pointwise_kernel"] = self._variable("pointwise_kernel", shape, pointwise_initializer)
        self.bias = None if bias_initializer is None else self._variable("bias", (filters,), bias_initializer)
        coefficients = {first: l2, "pointwise_kernel": pointwise_l2, "bias": bias_l2}
        self.l2_coefficients = {f"{key}/{name}{KEY_SUFFIX}": value for name, value in coefficients.items() if value}

    def _variable(self, name: str, shape: Sequence[int], initializer: Initializer) -> tf.Variable:
        seed = zlib.crc32(f"{self._seed}:{self.key}/{name}".encode())
        return self.add_weight(name, shape, initializer=initializer(seed))

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        """Maps each variable's checkpoint key to the variable."""
        named = self._kernels if self.bias is None else {**self._kernels, "bias": self.bias}
        return {f"{self.key}/{name}{KEY_SUFFIX}": variable for name, variable in named.items()}

    def call(self, x: tf.Tensor, norm: BatchNorm | None = None) -> tf.Tensor:
        """Convolves [B, H, W, in_channels] in the type of `x`, with `norm`'s moving statistics folded in if given."""
        # oneDNN's bfloat16 gradient of a strided convolution over a single pixel has values that nobody computed.
        single = self.strides > 1 and x.shape[1] == 1
        return tf.cast(self._convolved(tf.cast(x, tf.float32), norm), x.dtype) if single else self._convolved(x, norm)

    def _convolved(self, x: tf.Tensor, norm: BatchNorm | None) -> tf.Tensor:
        # Folded in float32 and then cast: folding in a lower precision would round twice.
        *kernels, bias = weights_for(self._execution, x.dtype, lambda: self._folded(norm))
        strides = [1, self.strides, self.strides, 1]
        if self.kind == "dense":
            x = tf.nn.conv2d(x, kernels[0], strides, self._padding, dilations=self._dilation)
        else:
            x = tf.nn.depthwise_conv2d(x, kernels[0], strides, self._padding)
            if self.kind == "separable":
                x = tf.nn.conv2d(x, kernels[1], 1, "SAME")
        return x if bias is None else tf.nn.bias_add(x, bias)

    def _folded(self, norm: BatchNorm | None) -> list[tf.Tensor | None]:
        """The kernels in order, then the bias or None, all float32; with `norm`, scaled and shifted as it does."""
        *first, last = (tf.convert_to_tensor(kernel) for kernel in self._kernels.values())
        bias = None if self.bias is None else tf.convert_to_tensor(self.bias)
        if norm is not None:
            scale, shift = norm.scale_and_shift()
            # A depthwise kernel is [h, w, filters, 1], the others end in filters.
            last = last * (scale[:, tf.newaxis] if self.kind == "depthwise" else scale)
            bias = shift if bias is None else bias * scale + shift
        return [*first, last, bias]


class BatchNorm(tf_keras.layers.BatchNormalization):
    """Keras' batch norm, built at once, with its checkpoint key."""

    def __init__(self, key: str, channels: int, settings: LayerSettings) -> None:
        super().__init__(momentum=settings.batch_norm_momentum, epsilon=settings.batch_norm_epsilon, autocast=False)
        self.key = key
        self._frozen = settings.freeze_batch_norm
        self.build((None, None, None, channels))

    def add_weight(self, *args: Any, **options: Any) -> tf.Variable:
        """As Keras's, but statistics that stay the same are not averaged over all devices when one reads them."""
        if self._frozen:
            options["synchronization"] = tf.VariableSynchronization.AUTO
        return super().add_weight(*args, **options)

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        """Maps each variable's checkpoint key to the variable."""
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return {f"{self.key}/{name}{KEY_SUFFIX}": getattr(self, name) for name in names}

    def scale_and_shift(self) -> tuple[tf.Tensor, tf.Tensor]:
        """What normalising with the moving statistics amounts to: float32 [channels] factors and summands."""
        scale = self.gamma * tf.math.rsqrt(self.moving_variance + self.epsilon)
        return scale, self.beta - self.moving_mean * scale


class ConvBatchNorm(Block):
    """A convolution, batch norm and an activation; weight-shared heads have one batch norm for each pyramid level.

    With moving statistics and the policy "folded", the convolution runs with kernel w * gamma / sqrt(variance + eps)
    and the matching bias. That is the same function of the same variables, so the gradients are the same too.
    """

    def __init__(
        self,
        convolution: Convolution,
        norm_keys: Sequence[str],
        settings: LayerSettings,
        activation: Activation | None = tf.nn.relu6,
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.norms = [BatchNorm(key, convolution.filters, settings) for key in norm_keys]
        self._settings, self._activation = settings, activation

    def call(self, x: tf.Tensor, level: int = 0, training: bool = False) -> tf.Tensor:
        """Returns [B, H', W', filters]; `level` chooses the batch norm."""
        norm = self.norms[level]
        batch_statistics = training and not self._settings.freeze_batch_norm
        if self._settings.execution.batch_norm == "folded" and not batch_statistics:
            x = self.convolution(x, norm)
        else:
            x = self.convolution(x)
            x = tf.cast(norm(x, training=batch_statistics), x.dtype)  # Keras gives what its variables are
        return x if self._activation is None else self._activation(x)
