from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfod_transfer.modeling import layers

KINDS = ["dense", "depthwise", "separable"]


def make_layer(kind: Any, policy: Any, *, freeze: bool = True, bias: bool = False, levels: int = 1) -> Any:
    settings = layers.LayerSettings(0.9, freeze, layers.Execution(batch_norm=policy), seed=3)
    convolution = layers.Convolution(
        "conv", kind, 6, 6, settings, strides=2, bias_initializer=layers.normal(1.0) if bias else None
    )
    layer = layers.ConvBatchNorm(convolution, [f"norm/{level}" for level in range(levels)], settings)
    rng = np.random.default_rng(0)
    for norm in layer.norms:
        for variable in (norm.gamma, norm.beta, norm.moving_mean):
            variable.assign(rng.normal(1, 0.5, 6))
        norm.moving_variance.assign(rng.uniform(0.1, 2, 6))
    return layer


IMAGES = np.random.default_rng(1).normal(0, 1, (2, 9, 7, 6)).astype(np.float32)
WEIGHTS = np.random.default_rng(2).normal(0, 1, (2, 5, 4, 6)).astype(np.float32)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_folded_is_the_same_function_with_the_same_gradients(kind: Any, bias: bool) -> None:
    results = []
    for policy in ("fused", "folded"):
        layer = make_layer(kind, policy, bias=bias)
        with tf.GradientTape() as tape:
            y = layer(IMAGES, training=True)
            loss = tf.reduce_sum(y * WEIGHTS)
        results.append((y, tape.gradient(loss, layer.trainable_variables)))
    (fused, fused_gradients), (folded, folded_gradients) = results
    assert fused.shape == (2, 5, 4, 6)
    np.testing.assert_allclose(folded, fused, atol=1e-5)
    assert len(fused_gradients) == len(folded_gradients) == 3 + bias + (kind == "separable")
    for a, b in zip(folded_gradients, fused_gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", ["fused", "folded"])
def test_moving_statistics_move_only_in_training_that_is_not_frozen(policy: Any) -> None:
    for freeze, training, moves in [
        (True, True, False),
        (True, False, False),
        (False, False, False),
        (False, True, True),
    ]:
        layer = make_layer("dense", policy, freeze=freeze)
        before = layer.norms[0].moving_mean.numpy()
        expected = layer.convolution(IMAGES).numpy().mean(axis=(0, 1, 2))
        layer(IMAGES, training=training)
        after = layer.norms[0].moving_mean.numpy()
        np.testing.assert_allclose(after, 0.9 * before + 0.1 * expected if moves else before, rtol=1e-5, atol=1e-6)


def test_levels_share_the_convolution_but_not_the_batch_norm() -> None:
    layer = make_layer("separable", "folded", levels=2)
    assert not np.allclose(layer(IMAGES, level=0), layer(IMAGES, level=1))
    assert len(layer.trainable_variables) == 2 + 2 * 2


def test_keys_and_initial_values_depend_on_key_and_seed() -> None:
    def kernel(key: str, seed: int) -> np.ndarray:
        settings = layers.LayerSettings(0.9, True, layers.Execution(), seed)
        (named,) = layers.Convolution(key, "dense", 3, 4, settings).checkpoint_variables().items()
        assert named[0] == f"{key}/kernel/.ATTRIBUTES/VARIABLE_VALUE"
        return named[1].numpy()

    np.testing.assert_array_equal(kernel("a", 0), kernel("a", 0))
    assert not np.allclose(kernel("a", 0), kernel("a", 1))
    assert not np.allclose(kernel("a", 0), kernel("b", 0))


@pytest.mark.parametrize("kind", ["dense", "separable"])
def test_a_single_pixel_has_a_finite_gradient_in_bfloat16_whatever_was_in_memory(kind: Any) -> None:
    settings = layers.LayerSettings(0.9, True, layers.Execution(tf.bfloat16), 0)
    convolution = layers.Convolution("conv", kind, 64, 64, settings, strides=2)
    pixel = tf.ones([2, 1, 1, 64], tf.bfloat16)
    for _ in range(8):
        litter = [tf.fill([2**power], np.float32(np.nan)) + 0 for power in range(4, 18)]
        del litter  # gives back memory full of NaN
        with tf.GradientTape() as tape:
            y = convolution(pixel)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 2)
        assert y.dtype == tf.bfloat16
        for gradient in tape.gradient(loss, convolution.trainable_variables):
            assert np.all(np.isfinite(gradient))
