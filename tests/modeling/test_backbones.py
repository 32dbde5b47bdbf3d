"""ResNet and MobileNetV1: shapes, order, gradients and precision; tests/golden compares names and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.modeling import backbones, layers
from tfod_transfer.modeling.backbones.mobilenet_v1 import MobileNetV1
from tfod_transfer.modeling.backbones.resnet import ResNet
from tfod_transfer.modeling.layers import Execution, LayerSettings

KEY = "model/_feature_extractor/classification_backbone/layer_with_weights-"
SIZE = 64
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)


def small(family: str, freeze: bool = True) -> Any:
    """One bottleneck in a stage, or a MobileNetV1 of an eighth of the width."""
    settings = LayerSettings(0.9, freeze, Execution(), seed=1)
    return ResNet((1, 2, 1, 1), settings, 1e-4) if family == "resnet" else MobileNetV1(0.125, settings, 1e-5)


FAMILIES = pytest.mark.parametrize("family", ["resnet", "mobilenet_v1"])


@pytest.mark.parametrize(
    ("name", "channels", "convolutions"),
    [
        pytest.param("resnet50", (512, 1024, 2048), 53, id="resnet50"),
        pytest.param("resnet101", (512, 1024, 2048), 104, id="resnet101"),
        pytest.param("resnet152", (512, 1024, 2048), 155, id="resnet152"),
        pytest.param("mobilenet_v1", (256, 512, 1024), 27, id="mobilenet_v1"),
    ],
)
def test_members_of_the_families(
    make_spec: Any, monkeypatch: pytest.MonkeyPatch, name: str, channels: tuple[int, ...], convolutions: int
) -> None:
    # Four fifths of the variables are batch norm's, and of no interest here.
    monkeypatch.setattr(layers, "BatchNorm", lambda key, channels, settings: tf.Module())
    structure = make_spec(backbone=name, backbone_l2=0.5).structure
    with tf.Graph().as_default():  # where no initial value is drawn
        backbone: Any = backbones.build(structure, LayerSettings(0.9, True, Execution(), seed=0))
    assert tuple(backbone.output_channels) == channels
    kernels = [v for v in backbone.trainable_variables if "kernel" in v.name]
    assert len(kernels) == convolutions
    coefficients = [c for part in backbone.submodules for c in getattr(part, "l2_coefficients", {}).values()]
    assert coefficients == [0.5] * convolutions


def test_an_unknown_member_names_the_nearest(make_spec: Any) -> None:
    structure = make_spec(backbone="resnet51").structure
    with pytest.raises(errors.RegistryError, match=r"unknown backbone 'resnet51'.*Did you mean 'resnet"):
        backbones.build(structure, LayerSettings(0.9, True, Execution(), seed=0))


@FAMILIES
@pytest.mark.parametrize("size", [SIZE, 96])
def test_maps_are_8_16_and_32_pixels_apart(family: str, size: int) -> None:
    backbone = small(family)
    maps = backbone(np.zeros([1, size, size, 3], np.float32))
    expected = [
        (1, size // stride, size // stride, channels)
        for stride, channels in zip((8, 16, 32), backbone.output_channels, strict=True)
    ]
    assert [tuple(x.shape) for x in maps] == expected


@pytest.mark.parametrize(
    ("attribute", "number", "shape"),
    [
        pytest.param("kernel", 0, (7, 7, 3, 64), id="stem"),
        pytest.param("kernel", 2, (1, 1, 64, 64), id="first"),
        pytest.param("kernel", 14, (1, 1, 256, 512), id="shortcut before the last convolution"),
        pytest.param("kernel", 15, (1, 1, 128, 512), id="last convolution before the shortcut's norm"),
        pytest.param("gamma", 16, (512,), id="the shortcut's norm"),
        pytest.param("gamma", 17, (512,), id="the last norm"),
        pytest.param("kernel", 22, (1, 1, 128, 512), id="without a shortcut"),
        pytest.param("gamma", 23, (512,), id="its norm"),
    ],
)
def test_order_of_resnet_layers(attribute: str, number: int, shape: tuple[int, ...]) -> None:
    named: dict[str, tf.Variable] = {}
    for part in small("resnet").submodules:
        if hasattr(part, "key"):
            named.update(part.checkpoint_variables())
    assert tuple(named[f"{KEY}{number}/{attribute}/.ATTRIBUTES/VARIABLE_VALUE"].shape) == shape


def test_resnet_strides_in_the_first_convolution() -> None:
    block = small("resnet")._stages[1][0]
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 256)).astype(np.float32)
    changed = x.copy()
    changed[:, 1::2], changed[:, :, 1::2] = 0, 0
    # Odd rows and columns are never looked at.
    np.testing.assert_array_equal(block(x), block(changed))


def test_resnet_stem_pads_both_sides_alike_and_pools_from_the_first_pixel() -> None:
    backbone = small("resnet")
    kernel = np.zeros([7, 7, 3, 64], np.float32)
    kernel[3, 3] = 1.0
    backbone._stem.convolution._kernels["kernel"].assign(kernel)
    image = np.zeros([1, 8, 8, 3], np.float32)
    image[0, 4, 6] = 2.0 / 3.0
    # The centre of the kernel is on even pixels when three zeros come before the first.
    stem = backbone._stem(image)[0, :, :, 0].numpy()
    assert np.argwhere(stem > 1.0).tolist() == [[2, 3]]
    pooled = tf.nn.max_pool2d(stem[np.newaxis, :, :, np.newaxis], 3, 2, "SAME")[0, :, :, 0].numpy()
    assert np.argwhere(pooled > 1.0).tolist() == [[0, 1], [1, 1]]


@FAMILIES
def test_every_trainable_variable_has_a_gradient(family: str) -> None:
    backbone = small(family)
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(x**2) for x in backbone(IMAGES, training=True)])
    for variable, gradient in zip(
        backbone.trainable_variables, tape.gradient(loss, backbone.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.name
        assert np.any(gradient), variable.name


@FAMILIES
def test_batch_statistics_move_only_where_they_are_not_frozen(family: str) -> None:
    for freeze in (True, False):
        backbone = small(family, freeze)
        backbone(IMAGES, training=True)
        means = [v for v in backbone.non_trainable_variables if "moving_mean" in v.name]
        moved = [bool(np.any(mean)) for mean in means]
        assert moved == [not freeze] * len(means)


@FAMILIES
@pytest.mark.parametrize("policy", ["fused", "folded"])
def test_bfloat16_in_bfloat16_out(family: str, policy: Any) -> None:
    backbone = small(family)
    backbone._stem._settings.execution.batch_norm = policy
    expected = backbone(IMAGES)
    images = tf.cast(IMAGES, tf.bfloat16)
    with tf.GradientTape() as tape:
        maps = backbone(images, training=True)
        loss = tf.add_n([tf.reduce_mean(tf.cast(x, tf.float32)) for x in maps])
    gradients = tape.gradient(loss, backbone.trainable_variables)
    for x, exact in zip(maps, expected, strict=True):
        assert x.dtype == tf.bfloat16
        error = np.abs(tf.cast(x, tf.float32) - exact).max()
        assert 0 < error < 0.05 * np.abs(exact).max()
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
