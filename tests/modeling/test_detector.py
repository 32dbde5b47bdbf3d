from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_backbone import build_small, thin_spec

from tfod_transfer import errors
from tfod_transfer.modeling import anchors, layers
from tfod_transfer.modeling.detector import build_detector, trainable_variables_for


def images(spec: Any, count: int = 2) -> np.ndarray:
    shape = (count, spec.input_size, spec.input_size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("changes", "num_classes", "slots"),
    [
        pytest.param({"input_size": 320}, 7, 8, id="320"),
        pytest.param({"input_size": 160, "depth_multiplier": 0.35, "feature_depth": 64}, 4, 5, id="160, width 0.35"),
        pytest.param({"input_size": 96, "background_slot": False}, 4, 4, id="no background slot"),
        pytest.param({"input_size": 64, "depth_multiplier": 1.4, "scales_per_octave": 3}, 1, 2, id="width 1.4"),
    ],
)
def test_output_has_a_row_for_each_anchor(
    make_spec: Any, changes: dict[str, Any], num_classes: int, slots: int
) -> None:
    spec = make_spec(**changes)
    detector = build_detector(spec, num_classes)
    output = detector(images(spec, 1))
    assert output.box_encodings.shape == (1, len(anchors.generate(spec)), 4)
    assert output.class_logits.shape == (1, len(detector.anchors), slots)
    assert output.box_encodings.dtype == output.class_logits.dtype == tf.float32
    # The class bias starts every class at a probability of a hundredth.
    np.testing.assert_allclose(tf.sigmoid(output.class_logits), 0.01, atol=0.005)


def test_uint8_and_float32_images_are_the_same(tiny_spec: Any, tiny_detector: Any) -> None:
    raw = images(tiny_spec)
    for a, b in zip(tiny_detector(raw), tiny_detector(raw.astype(np.float32)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_image_does_not_depend_on_its_batch(tiny_spec: Any, tiny_detector: Any) -> None:
    raw = images(tiny_spec, 3)
    for a, b in zip(tiny_detector(raw), tiny_detector(raw[1:2]), strict=True):
        np.testing.assert_allclose(a[1:2], b, atol=1e-5)


def test_seed_decides_every_initial_value(tiny_spec: Any) -> None:
    def values(seed: int) -> dict[str, np.ndarray]:
        named = build_detector(tiny_spec, 3, seed=seed).checkpoint_variables()
        return {key: variable.numpy() for key, variable in named.items()}

    first, again, other = values(5), values(5), values(6)
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
        if key.split("/")[-3].endswith("kernel"):
            assert not np.allclose(first[key], other[key]), key


def test_frozen_batch_norm_trains_scale_and_offset_only(tiny_spec: Any) -> None:
    detector = build_detector(tiny_spec, 3)
    before = {key: variable.numpy() for key, variable in detector.checkpoint_variables().items()}
    with tf.GradientTape() as tape:
        output = detector(images(tiny_spec), training=True)
        loss = tf.reduce_sum(output.box_encodings**2) + tf.reduce_sum(output.class_logits**2)
    gradients = tape.gradient(loss, detector.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    assert {id(v) for v in detector.trainable_variables} == {
        id(v) for key, v in detector.checkpoint_variables().items() if "moving_" not in key
    }
    for key, variable in detector.checkpoint_variables().items():
        np.testing.assert_array_equal(variable.numpy(), before[key])


def test_batch_norm_that_is_not_frozen_uses_and_keeps_batch_statistics(tiny_spec: Any) -> None:
    detector = build_detector(tiny_spec, 3, freeze_batch_norm=False)
    inference, training = detector(images(tiny_spec)), detector(images(tiny_spec), training=True)
    assert not np.allclose(inference.box_encodings, training.box_encodings)
    moving = {key: v for key, v in detector.checkpoint_variables().items() if "moving_mean" in key}
    assert all(np.any(variable.numpy()) for variable in moving.values())


def test_only_the_class_head_trains_on_request(tiny_detector: Any) -> None:
    top = trainable_variables_for(tiny_detector, only_top=True)
    assert sorted(tuple(v.shape) for v in top) == [(1, 1, 16, 24), (3, 3, 16, 1), (24,)]
    everything = trainable_variables_for(tiny_detector, only_top=False)
    assert len(everything) == len(tiny_detector.trainable_variables) > 100


@pytest.mark.parametrize(
    ("pattern", "only_top", "trained"),
    [
        pytest.param(r".*classification_backbone", False, ("decoder", "head"), id="a backbone"),
        pytest.param(r"_feature_extractor", False, ("head",), id="from the start of the name"),
        pytest.param(r".*backbone", True, ("class layers",), id="with the class head alone"),
    ],
)
def test_layers_whose_names_match_do_not_train(
    tiny_detector: Any, pattern: str, only_top: bool, trained: tuple[str, ...]
) -> None:
    kept = {each.ref() for each in trainable_variables_for(tiny_detector, only_top=only_top, frozen=pattern)}
    parts = {
        "decoder": tiny_detector.decoder.trainable_variables,
        "head": tiny_detector.head.trainable_variables,
        "class layers": trainable_variables_for(tiny_detector, only_top=True),
    }
    assert kept == {variable.ref() for name in trained for variable in parts[name]}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("conv9", "matches no layer; the"),
        ("backbone", "matches no layer"),  # not at the start of a name
        (".*", "matches every layer that trains"),
        ("(", "is no regular expression"),
    ],
)
def test_a_pattern_that_cannot_be_meant(tiny_detector: Any, pattern: str, message: str) -> None:
    with pytest.raises(errors.UsageError) as caught:
        trainable_variables_for(tiny_detector, only_top=False, frozen=pattern)
    assert message in str(caught.value)


@pytest.mark.parametrize("policy", ["fused", "folded"])
def test_bfloat16_keeps_float32_variables_and_outputs(tiny_spec: Any, tiny_detector: Any, policy: Any) -> None:
    expected = tiny_detector(images(tiny_spec))
    detector = build_detector(tiny_spec, 3, execution=layers.Execution(tf.bfloat16, policy))
    output = detector(images(tiny_spec))
    assert {v.dtype for v in detector.checkpoint_variables().values()} == {tf.float32}
    assert output.box_encodings.dtype == output.class_logits.dtype == tf.float32
    assert np.any(output.box_encodings != expected.box_encodings)
    np.testing.assert_allclose(output.class_logits, expected.class_logits, atol=0.05)


HALVES = [
    pytest.param({}, layers.Execution(), id="one tower"),
    pytest.param({"head": "two_towers"}, layers.Execution(tf.bfloat16, "fused"), id="two towers, bfloat16, fused"),
    pytest.param({"head": "per_level"}, layers.Execution(constant_weights=True), id="per level, constant weights"),
    pytest.param({}, layers.Execution(tf.bfloat16, xla=True), id="bfloat16, XLA"),
]


@pytest.mark.parametrize(("changes", "execution"), HALVES)
def test_the_class_layers_make_the_same_of_features_that_were_kept(
    changes: dict[str, Any], execution: layers.Execution
) -> None:
    spec = thin_spec(**changes)
    detector = build_small(spec, 3, execution=execution)
    expected = tf.function(detector)(images(spec), training=True)
    kept = tf.function(detector.frozen_part)(images(spec))
    assert {x.dtype for x in tf.nest.flatten(kept)} == {execution.dtype}
    for a, b in zip(tf.function(detector.finish)(kept), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_class_layers_see_nothing_but_the_features(tiny_spec: Any) -> None:
    detector = build_detector(tiny_spec, 3)
    frozen = detector.frozen_part(images(tiny_spec))
    before = detector.finish(frozen)
    for variable in trainable_variables_for(detector, only_top=True):
        variable.assign(variable + 0.1)
    for a, b in zip(tf.nest.flatten(detector.frozen_part(images(tiny_spec))), tf.nest.flatten(frozen), strict=True):
        np.testing.assert_array_equal(a, b)
    after = detector.finish(frozen)
    np.testing.assert_array_equal(after.box_encodings, before.box_encodings)
    assert not np.allclose(after.class_logits, before.class_logits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"backbone": "mobilenetv2"}, "unknown backbone .* Did you mean 'mobilenet_v2'", id="unknown"),
        pytest.param({"input_size": 300}, "multiple of 32, found 300: use 288", id="maps would not fit"),
    ],
)
def test_what_cannot_be_built(make_spec: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.RegistryError, match=message):
        build_detector(make_spec(**changes), 3)
