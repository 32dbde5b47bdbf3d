from __future__ import annotations

import re
from typing import Any

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfod_transfer import errors
from tfod_transfer.modeling import layers
from tfod_transfer.modeling.decoders import bifpn

CHANNELS, DEPTH, SIZE = (6, 8, 10), 8, 256  # C4 is as deep as the pyramid: it needs no projection
KEY = "model/_feature_extractor/_bifpn_stage"


def settings(**changes: Any) -> layers.LayerSettings:
    return layers.LayerSettings(0.99, True, layers.Execution(**changes), seed=0)


@pytest.fixture(scope="module")
def build(make_efficientdet: Any) -> Any:
    def make(size: int = SIZE, **changes: Any) -> bifpn.BiFPN:
        structure = make_efficientdet(feature_depth=DEPTH, **{"bifpn_iterations": 2, **changes}).structure
        return bifpn.BiFPN(CHANNELS, structure, size, settings())

    return make


@pytest.fixture(scope="module")
def maps() -> list[tf.Tensor]:
    rng = np.random.default_rng(0)
    sides = (SIZE // 8, SIZE // 16, SIZE // 32)
    shapes = [(2, side, side, channels) for side, channels in zip(sides, CHANNELS, strict=True)]
    return [tf.constant(rng.normal(0, 1, shape), tf.float32) for shape in shapes]


def nodes_of(pyramid: bifpn.BiFPN) -> list[bifpn.Node]:
    return [each for each in pyramid.submodules if isinstance(each, bifpn.Node)]


def keys_of(module: tf.Module) -> set[str]:
    parts = [each for each in module.submodules if isinstance(each, (layers.Block, layers.BatchNorm))]
    keys = {key for part in parts for key in part.checkpoint_variables()}
    return {key.removeprefix(f"{KEY}/").removesuffix(layers.KEY_SUFFIX) for key in keys}


@pytest.mark.parametrize("combine", ["fast_attention", "sum"])
def test_every_node_sees_what_the_paper_says(build: Any, maps: list[tf.Tensor], combine: str) -> None:
    pyramid = build(bifpn_combine=combine)
    n = nodes_of(pyramid)
    assert len(n) == 2 + 2 * 8
    c3, c4, c5 = maps
    p3, p4, p5 = c3, c4, c5
    p6 = n[0]([c5])
    p7 = n[1]([p6])
    for first in (2, 10):
        down_6 = n[first]([p6, p7])
        down_5 = n[first + 1]([p5, down_6])
        down_4 = n[first + 2]([p4, down_5])
        p3 = n[first + 3]([p3, down_4])
        p4 = n[first + 4]([p4, down_4, p3])
        p5 = n[first + 5]([p5, down_5, p4])
        p6 = n[first + 6]([p6, down_6, p5])
        p7 = n[first + 7]([p7, p6])
    outputs = pyramid(maps)
    for level, (actual, expected) in enumerate(zip(outputs, (p3, p4, p5, p6, p7), strict=True), start=3):
        assert actual.shape == (2, SIZE >> level, SIZE >> level, DEPTH)
        np.testing.assert_array_equal(actual, expected)


def test_variables_of_each_node(build: Any) -> None:
    keys = keys_of(build(bifpn_iterations=1))
    combined = {f"node_combine_op/{node}/bifpn_combine_weights" for node in range(2, 10)}
    assert {key for key in keys if "combine_op" in key} == combined
    assert {key.split("/")[1] for key in keys if "post_combine" in key} == {str(node) for node in range(2, 10)}
    # (node, input) that comes with other channels: C5 twice on the way down and once up, C3 once
    projected = {tuple(key.split("/")[1:3]) for key in keys if "input_blocks" in key}
    assert projected == {("0", "0"), ("3", "0"), ("5", "0"), ("7", "0")}
    assert not {key for key in keys_of(build(bifpn_iterations=1, bifpn_combine="sum")) if "combine_op" in key}


def test_what_is_regularised(build: Any) -> None:
    pyramid = build(bifpn_iterations=1, l2=1e-3)
    found = [each.l2_coefficients for each in pyramid.submodules if isinstance(each, layers.Convolution)]
    regularised = {key: value for part in found for key, value in part.items()}
    kernels = {f"{KEY}/{key}{layers.KEY_SUFFIX}" for key in keys_of(pyramid) if key.endswith("kernel")}
    assert regularised == dict.fromkeys(kernels, 1e-3)
    assert len(kernels) == 4 + 2 * 8


def test_a_coarser_map_is_pooled_with_its_neighbours(build: Any) -> None:
    """A window of 3, steps of 2, padding at the bottom and right alone."""
    pool = nodes_of(build())[1]
    x = np.random.default_rng(0).normal(0, 1, (1, 8, 8, DEPTH)).astype(np.float32)
    padded = np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)], constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    np.testing.assert_array_equal(pool([x]), windows.max(axis=(-2, -1)))


def test_a_node_activates_first_and_convolves_last(build: Any) -> None:
    """Swish, then a separable convolution and batch norm, and no activation after: results below 0 come through."""
    node = nodes_of(build(bifpn_combine="sum"))[2]
    fine, coarse = np.full([1, 4, 4, DEPTH], -3.0, np.float32), np.full([1, 2, 2, DEPTH], 1.0, np.float32)
    by_name = {variable.name.split(":")[0]: variable for variable in node.variables}
    by_name["depthwise_kernel"].assign(np.pad([[1.0]], 1)[..., np.newaxis, np.newaxis] * np.ones([1, 1, DEPTH, 1]))
    by_name["pointwise_kernel"].assign(np.eye(DEPTH)[np.newaxis, np.newaxis])
    by_name["bias"].assign(np.arange(DEPTH))
    expected = (-2 / (1 + np.exp(2)) + np.arange(DEPTH)) / np.sqrt(1 + layers.BATCH_NORM_EPSILON)
    np.testing.assert_allclose(node([fine, coarse]), np.broadcast_to(expected, fine.shape), rtol=1e-5)
    assert expected[0] < 0


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(hnp.arrays(np.float32, st.integers(2, 3), elements=st.floats(-2, 2, width=32)), st.booleans())
def test_attention_is_a_mean_with_weights_that_are_not_negative(weights: np.ndarray, constants: bool) -> None:
    layer = bifpn.FastAttention("key", len(weights), settings(constant_weights=constants))
    ((key, variable),) = layer.checkpoint_variables().items()
    assert key == f"key/bifpn_combine_weights{layers.KEY_SUFFIX}"
    variable.assign(weights[:, np.newaxis])
    maps = np.random.default_rng(0).normal(0, 1, (len(weights), 1, 2, 2, 3)).astype(np.float32)
    positive = np.maximum(weights, 0)
    expected = np.tensordot(positive / (positive.sum() + 1e-4), maps, 1)
    np.testing.assert_allclose(layer(list(maps)), expected, rtol=1e-4, atol=1e-5)
    if not positive.any():
        assert not np.any(layer(list(maps)))


def test_bfloat16_flows_through(build: Any, maps: list[tf.Tensor]) -> None:
    assert {x.dtype for x in build()([tf.cast(x, tf.bfloat16) for x in maps])} == {tf.bfloat16}


# input size: (advice, or None for one that fits)
SIZES = {128: None, 640: None, 1408: None, 320: "use 256", 64: "use 128", 500: "use 512"}


@pytest.mark.parametrize("size", SIZES)
def test_input_sizes(build: Any, size: int) -> None:
    if SIZES[size] is None:
        build(size, bifpn_iterations=1)
        return
    with pytest.raises(errors.RegistryError, match=re.escape(f"multiple of 128, found {size}: {SIZES[size]}")):
        build(size, bifpn_iterations=1)
