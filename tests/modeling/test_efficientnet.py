"""EfficientNet against Model Garden's, which the zoo's checkpoints were trained with, and a small EfficientDet."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.legacy.image_classification.efficientnet import efficientnet_model

from tfod_transfer import errors
from tfod_transfer.modeling import layers, zoo_checkpoint
from tfod_transfer.modeling.backbones import efficientnet
from tfod_transfer.modeling.detector import Detector, build_detector

ROOT = "model/_feature_extractor/_efficientnet/layer_with_weights-"
SUFFIX = layers.KEY_SUFFIX
TAPS = ("stack_2/block_1/add", "stack_4/block_2/add", "stack_6/block_0/project_bn")
WIDTH, DEPTH, L2 = 0.25, 1.1, 1e-3  # at this depth taps are in the middle of their stages, as in all but B0
IMAGES = np.random.default_rng(0).normal(0, 1, (4, 64, 64, 3)).astype(np.float32)
CLASSES = ("a", "b", "c")


def build(dtype: tf.DType = tf.float32) -> efficientnet.EfficientNet:
    execution = layers.Execution(dtype)
    return efficientnet.EfficientNet(WIDTH, DEPTH, layers.LayerSettings(0.99, True, execution, seed=0), L2)


def variables(module: tf.Module) -> dict[str, tf.Variable]:
    parts = [each for each in module.submodules if isinstance(each, (layers.Block, layers.BatchNorm))]
    return {key: variable for part in parts for key, variable in part.checkpoint_variables().items()}


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Model Garden's network; its batch norms and biases are random, as they would do nothing at first."""
    config = efficientnet_model.ModelConfig(
        width_coefficient=WIDTH, depth_coefficient=DEPTH, rescale_input=False, num_classes=1
    )
    model = efficientnet_model.EfficientNet(config)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if "kernel" not in variable.name:
            positive = "gamma" in variable.name or "variance" in variable.name
            variable.assign(rng.uniform(*((0.5, 1.5) if positive else (-0.3, 0.3)), variable.shape))
    return model


@pytest.fixture(scope="module")
def ours(theirs: Any) -> efficientnet.EfficientNet:
    """Our network with the same weights, looked up by their place among the layers that have any."""
    network = build()
    weighted = [layer for layer in theirs.layers if layer.weights]
    for key, variable in variables(network).items():
        number, name = key.removeprefix(ROOT).removesuffix(SUFFIX).split("/")
        variable.assign(getattr(weighted[int(number)], name))
    return network


@pytest.mark.golden
def test_maps_are_those_of_model_garden(theirs: Any, ours: efficientnet.EfficientNet) -> None:
    outputs = {layer.name: layer.output for layer in theirs.layers}
    expected = tf_keras.Model(theirs.input, [outputs[name] for name in TAPS])(IMAGES)
    for actual, wanted, channels, side in zip(ours(IMAGES), expected, ours.output_channels, (8, 4, 2), strict=True):
        assert actual.shape == (4, side, side, channels)
        np.testing.assert_allclose(actual, wanted, atol=1e-5 * np.abs(wanted).max())


def test_nothing_above_the_last_tap_is_built(theirs: Any, ours: efficientnet.EfficientNet) -> None:
    weighted = [layer.name for layer in theirs.layers if layer.weights]
    numbers = {int(key.removeprefix(ROOT).split("/")[0]) for key in variables(ours)}
    assert numbers == set(range(weighted.index(TAPS[-1]) + 1))
    assert len(variables(ours)) == len(ours.variables)


def test_stochastic_depth_has_model_gardens_rates(theirs: Any, ours: efficientnet.EfficientNet) -> None:
    rates = [layer.rate for layer in theirs.layers if layer.name.endswith("/drop")]
    built = [block.drop_rate for block in ours.blocks if block.drop_rate]
    assert built == pytest.approx(rates[: len(built)])
    assert len(built) < len(rates)  # what is above the last tap counts in the rates
    assert 0 < built[0] < built[-1] < 0.2


def test_what_is_regularised(ours: efficientnet.EfficientNet) -> None:
    named = variables(ours)
    expected = {key for key in named if key.endswith((f"/kernel{SUFFIX}", f"/bias{SUFFIX}"))}
    assert any(key.endswith(f"/bias{SUFFIX}") for key in expected)
    found = [each.l2_coefficients for each in ours.submodules if isinstance(each, layers.Convolution)]
    assert {key: value for part in found for key, value in part.items()} == dict.fromkeys(expected, L2)


def test_bfloat16_flows_through(ours: efficientnet.EfficientNet) -> None:
    for exact, rounded in zip(ours(IMAGES), ours(tf.cast(IMAGES, tf.bfloat16)), strict=True):
        assert rounded.dtype == tf.bfloat16
        assert np.corrcoef(np.ravel(exact), np.ravel(tf.cast(rounded, tf.float32)))[0, 1] > 0.98


def test_branches_are_left_out_in_training_with_a_seed_only(ours: efficientnet.EfficientNet) -> None:
    def maps(training: bool, seed: list[int] | None) -> list[np.ndarray]:
        noise = None if seed is None else tf.constant(seed)
        return [x.numpy() for x in ours(IMAGES, training=training, noise_seed=noise)]

    still = maps(False, None)
    for training, seed, same in [
        (True, None, True),
        (False, [1, 2], True),
        (True, [1, 2], False),
    ]:
        equal = [np.array_equal(x, y) for x, y in zip(maps(training, seed), still, strict=True)]
        assert all(equal) == same, (training, seed)
    first, again, other = maps(True, [1, 2]), maps(True, [1, 2]), maps(True, [1, 3])
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not np.array_equal(first[-1], other[-1])


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_a_branch_is_dropped_for_whole_images_and_keeps_its_mean(rate: float) -> None:
    x = tf.ones([4000, 1, 2, 3])
    y = efficientnet.drop_branches(x, rate, tf.constant([3, 4])).numpy().reshape(4000, 6)
    assert np.all(y == y[:, :1])
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    assert abs((y[:, 0] == 0).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / 4000)


PHOTOGRAPHS = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def small(make_efficientdet: Any) -> Detector:
    """A detector with the batch norm statistics of PHOTOGRAPHS, so that what it answers depends on its input."""
    detector = build_detector(make_efficientdet(batch_norm_momentum=0.0), len(CLASSES), freeze_batch_norm=False)
    detector(PHOTOGRAPHS, training=True)
    return detector


def restore(detector: Detector, prefix: str) -> zoo_checkpoint.RestoreReport:
    return zoo_checkpoint.restore(detector, prefix, checkpoint_class_names=CLASSES, class_names=CLASSES)


def save_with(detector: Detector, folder: pathlib.Path, extra: dict[str, tf.Tensor]) -> str:
    """A checkpoint of the detector and of other variables."""
    named = {**detector.checkpoint_variables(), **extra}
    tensors = [tf.convert_to_tensor(each) for each in named.values()]
    prefix = str(folder / "ckpt-0")
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(named), shape_and_slices=[""] * len(named), tensors=tensors)
    return prefix


def test_the_unused_top_of_a_checkpoint_is_left_over_and_nothing_else(small: Detector, tmp_path: pathlib.Path) -> None:
    top = f"model/_feature_extractor/classification_backbone/layer_with_weights-128/kernel{SUFFIX}"
    other = build_detector(small.spec, len(CLASSES), seed=1)
    report = restore(other, save_with(small, tmp_path, {top: tf.zeros([2, 3])}))
    assert report.unused == {top: 6}
    assert not report.reinitialized
    restored = other.checkpoint_variables()
    for key, variable in small.checkpoint_variables().items():
        np.testing.assert_array_equal(restored[key], variable, err_msg=key)

    stranger = f"model/_feature_extractor/_efficientnet/layer_with_weights-128/kernel{SUFFIX}"
    with pytest.raises(errors.CheckpointError, match="layer_with_weights-128"):
        restore(other, save_with(small, tmp_path, {stranger: tf.zeros([2, 3])}))


def test_fused_folded_and_constant_weights_agree(small: Detector) -> None:
    folded = small(PHOTOGRAPHS)
    assert np.std(folded.class_logits) > 1e-3
    with small.execution.changed_to(layers.Execution(batch_norm="fused")):
        fused = small(PHOTOGRAPHS)
    with small.execution.changed_to(layers.Execution(constant_weights=True)):
        function = tf.function(lambda x: tuple(small(x))).get_concrete_function(tf.TensorSpec(PHOTOGRAPHS.shape))
    assert not function.captured_inputs
    for output in (fused, function(tf.constant(PHOTOGRAPHS))):
        for actual, expected in zip(output, folded, strict=True):
            np.testing.assert_allclose(actual, expected, atol=0.01 * np.std(expected))


def test_every_variable_of_an_efficientdet_is_trained(small: Detector) -> None:
    with tf.GradientTape() as tape:
        output = small(PHOTOGRAPHS, training=True, noise_seed=tf.constant([0, 1]))
        loss = tf.reduce_sum(output.box_encodings**2) + tf.reduce_sum(output.class_logits**2)
    assert all(gradient is not None for gradient in tape.gradient(loss, small.trainable_variables))


def test_a_backbone_that_does_not_exist_is_answered_with_the_nearest(make_efficientdet: Any) -> None:
    spec = make_efficientdet()
    wrong = dataclasses.replace(spec, structure=dataclasses.replace(spec.structure, backbone="efficientnet_7"))
    with pytest.raises(errors.RegistryError, match="Did you mean 'efficientnet_b"):
        build_detector(wrong, 3)
