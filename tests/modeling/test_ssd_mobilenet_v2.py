"""SSD MobileNetV2 against a plain Keras network of the same weights, and its six class layers in a transfer."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfod_transfer import registry
from tfod_transfer.modeling import heads, zoo_checkpoint
from tfod_transfer.modeling.detector import Detector, build_detector
from tfod_transfer.modeling.heads import per_level
from tfod_transfer.modeling.layers import KEY_SUFFIX, Execution

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-320x320-coco17-tpu-8"
GRIDS = (19, 10, 5, 3, 2, 1)
ANCHORS = (3, 6, 6, 6, 6, 6)
FEATURES = "model/_feature_extractor"
NAMES = ("cup", "plate", "spoon")


@pytest.fixture(scope="module")
def spec() -> registry.ModelSpec:
    return registry.load_registry().get(MODEL_ID)


@pytest.fixture(scope="module")
def small(spec: registry.ModelSpec) -> registry.ModelSpec:
    """The same model at a third of the width."""
    structure = dataclasses.replace(spec.structure, depth_multiplier=0.35, feature_depth=32)
    return dataclasses.replace(spec, input_size=96, structure=structure)


@pytest.fixture(scope="module")
def detector(spec: registry.ModelSpec) -> Detector:
    """A detector of three classes whose batch norms do something."""
    detector = build_detector(spec, 3)
    rng = np.random.default_rng(0)
    for key, variable in detector.checkpoint_variables().items():
        if any(name in key for name in ("gamma", "variance")):
            variable.assign(rng.uniform(0.8, 1.2, variable.shape))
        elif any(name in key for name in ("beta", "moving_mean", "bias")):
            variable.assign(rng.uniform(-0.2, 0.2, variable.shape))
    return detector


class PlainKeras:
    """The network out of Keras's own layers, with the detector's weights."""

    def __init__(self, detector: Detector) -> None:
        values = {
            key.removesuffix(KEY_SUFFIX): variable.numpy() for key, variable in detector.checkpoint_variables().items()
        }
        self._values = values
        backbone = tf_keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(300, 300, 3))
        with_weights = [layer for layer in backbone.layers if layer.weights]
        assert len(with_weights) == 104
        for number, layer in enumerate(with_weights):
            self._set(layer, f"{FEATURES}/classification_backbone/layer_with_weights-{number}")
        taps = ("block_13_expand_relu", "out_relu")
        self._backbone = tf_keras.Model(backbone.input, [backbone.get_layer(name).output for name in taps])

    def _set(self, layer: tf_keras.layers.Layer, key: str) -> None:
        layer.set_weights([self._values[f"{key}/{each.name.split('/')[-1].split(':')[0]}"] for each in layer.weights])

    def _apply(self, layer: tf_keras.layers.Layer, key: str, x: tf.Tensor) -> tf.Tensor:
        layer.build(x.shape)
        self._set(layer, key)
        return layer(x)

    def maps(self, x: tf.Tensor) -> list[tf.Tensor]:
        maps = list(self._backbone(x, training=False))
        for number, filters in zip(range(2, 6), (512, 256, 256, 128), strict=True):
            key, x = f"{FEATURES}/feature_map_generator/convolutions/{number}", maps[-1]
            for position, depth, kernel_size, strides in ((0, filters // 2, 1, 1), (3, filters, 3, 2)):
                convolution = tf_keras.layers.Conv2D(depth, kernel_size, strides, "same", use_bias=False)
                x = self._apply(convolution, f"{key}/{position}", x)
                x = self._apply(tf_keras.layers.BatchNormalization(epsilon=1e-3), f"{key}/{position + 1}", x)
                x = tf.nn.relu6(x)
            maps.append(x)
        return maps

    def predictions(self, maps: list[tf.Tensor], key: str, channels: int) -> tf.Tensor:
        outputs = []
        for level, (x, anchors) in enumerate(zip(maps, ANCHORS, strict=True)):
            x = self._apply(tf_keras.layers.Conv2D(anchors * channels, 1), key.format(level), x)
            outputs.append(tf.reshape(x, [len(x), -1, channels]))
        return tf.concat(outputs, axis=1)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, 300, 300, 3), np.uint8)


@pytest.fixture(scope="module")
def expected(detector: Detector, images: np.ndarray) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
    """The six maps, the boxes and the classes of the plain network."""
    reference = PlainKeras(detector)
    maps = reference.maps(normalized(images))
    heads_key = "model/_box_predictor/_prediction_heads"
    boxes = reference.predictions(maps, heads_key + "/box_encodings/{}/_box_encoder_layers/0", 4)
    class_key = heads_key + "/class_predictions_with_background/{}/_class_predictor_layers/0"
    return maps, boxes, reference.predictions(maps, class_key, 4)


def normalized(images: np.ndarray) -> tf.Tensor:
    return tf.cast(images, tf.float32) * (2 / 255) - 1


@pytest.mark.parametrize("policy", ["fused", "folded"])
def test_every_map_and_output_is_that_of_plain_keras(
    detector: Detector, images: np.ndarray, expected: tuple[list[tf.Tensor], tf.Tensor, tf.Tensor], policy: Any
) -> None:
    maps, boxes, classes = expected
    with detector.execution.changed_to(Execution(batch_norm=policy)):
        found = detector.decoder(detector.backbone(normalized(images)))
        output = detector(images)
    assert [tuple(x.shape[1:3]) for x in found] == [(side, side) for side in GRIDS]
    for number, (ours, theirs) in enumerate(zip(found, maps, strict=True)):
        np.testing.assert_allclose(ours, theirs, atol=1e-3, err_msg=f"map {number}")
    np.testing.assert_allclose(output.box_encodings, boxes, atol=1e-3)
    np.testing.assert_allclose(output.class_logits, classes, atol=1e-3)
    assert len(detector.anchors) == output.class_logits.shape[1] == 1917


def test_what_is_regularised(small: registry.ModelSpec) -> None:
    detector = build_detector(small, 3)
    kernels = {key for key, variable in detector.checkpoint_variables().items() if len(variable.shape) == 4}
    assert detector.l2_coefficients() == dict.fromkeys(kernels, 2e-5)


def test_a_new_head_expects_little_of_every_class(small: registry.ModelSpec) -> None:
    for layer in build_detector(small, 3).head.class_layers:
        np.testing.assert_array_equal(layer.bias, np.full(layer.bias.shape, -4.6, np.float32))
        assert float(tf.math.reduce_std(layer.checkpoint_variables()[f"{layer.key}/kernel{KEY_SUFFIX}"])) < 0.02


@pytest.fixture(scope="module")
def saved(small: registry.ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, np.ndarray]]:
    """A checkpoint of three classes, and what is in it."""
    pretrained = build_detector(small, 3, seed=1)
    for layer in pretrained.head.class_layers:
        layer.bias.assign(np.random.default_rng(0).standard_normal(layer.bias.shape))
    values = {key: variable.numpy() for key, variable in pretrained.checkpoint_variables().items()}
    return zoo_checkpoint.save(pretrained, tmp_path_factory.mktemp("saved")), values


@pytest.mark.parametrize(
    ("class_names", "sources"),
    [
        pytest.param(NAMES, (0, 1, 2, 3), id="same classes"),
        pytest.param(("spoon", "fork"), (0, 3, None), id="one known, one new"),
        pytest.param(("a", "b", "c", "d"), (0, None, None, None, None), id="all new"),
    ],
)
def test_class_rows_of_all_six_layers(
    small: registry.ModelSpec,
    saved: tuple[str, dict[str, np.ndarray]],
    class_names: tuple[str, ...],
    sources: tuple[Any, ...],
) -> None:
    prefix, old = saved
    assert zoo_checkpoint.num_classes_in(prefix, small) == 3
    detector = build_detector(small, len(class_names), seed=9)
    fresh = {key: variable.numpy() for key, variable in detector.checkpoint_variables().items()}
    report = zoo_checkpoint.restore(detector, prefix, checkpoint_class_names=NAMES, class_names=class_names)
    new = detector.checkpoint_variables()
    compared = 0
    for level, anchors in enumerate(ANCHORS):
        for name in ("kernel", "bias"):
            key = f"{per_level.class_key(level)}/{name}{KEY_SUFFIX}"
            theirs, ours, random = (x[key] for x in (old, new, fresh))
            by_slot = [np.reshape(x, [-1, anchors, x.shape[-1] // anchors]) for x in (theirs, ours, random)]
            for slot, source in enumerate(sources):
                expected = by_slot[2][..., slot] if source is None else by_slot[0][..., source]
                np.testing.assert_array_equal(by_slot[1][..., slot], expected)
                compared += 1
    assert compared == 12 * len(sources)
    others = [key for key in new if "_class_predictor_layers" not in key]
    for key in others:
        np.testing.assert_array_equal(new[key], old[key])
    rows = sum(sum(old[f"{per_level.class_key(i)}/{each}{KEY_SUFFIX}"].size for i in range(6)) // 4
               for each in ("kernel", "bias"))  # fmt: skip
    assert sum(report.reinitialized.values()) == rows * sources.count(None)
    assert sum(report.unused.values()) == rows * len(set(range(4)) - set(sources))
    assert heads.class_bias_key(small.structure) in report.restored
