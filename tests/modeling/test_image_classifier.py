"""Backbones from the weights of tf_keras.applications: the same features, every layer accounted for."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfod_transfer import errors, registry
from tfod_transfer.modeling import preprocessing
from tfod_transfer.modeling.detector import Detector, build_detector
from tfod_transfer.modeling.image_classifier import restore_backbone

VGG, RESNET = "object-detection-ssd-vgg-16", "object-detection-ssd-resnet-50"
SIDE = 96


def detector_of(model_id: str, **changes: Any) -> Detector:
    spec = registry.load_registry().get(model_id)
    return build_detector(dataclasses.replace(spec, structure=dataclasses.replace(spec.structure, **changes)), 2)


def randomize_statistics(model: tf_keras.Model) -> None:
    """Batch norm that does something: a fresh one is the identity."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            drawn = [rng.normal(0, 0.1, each.shape) for each in (gamma, beta, mean)]
            layer.set_weights([0.5 + drawn[0], drawn[1], drawn[2], rng.uniform(0.5, 1.5, variance.shape)])


# model: (the application, its layers whose outputs the backbone's maps are, whether a whole model is saved)
APPLICATIONS = {
    VGG: (tf_keras.applications.VGG16, ["block4_conv3"], False),
    RESNET: (tf_keras.applications.ResNet50, ["conv4_block6_out", "conv5_block3_out"], True),
}


@pytest.mark.golden
@pytest.mark.parametrize("model_id", APPLICATIONS)
def test_features_are_those_of_the_application(model_id: str, tmp_path: pathlib.Path) -> None:
    application, names, whole = APPLICATIONS[model_id]
    tf_keras.utils.set_random_seed(0)
    model = application(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    randomize_statistics(model)
    file = tmp_path / "weights.h5"
    (model.save if whole else model.save_weights)(file)
    detector = detector_of(model_id)
    report = restore_backbone(detector, file, ("a", "b"))

    images = np.random.default_rng(1).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.float32)
    bgr = images[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)  # keras's preprocess_input
    expected = tf_keras.Model(model.input, [model.get_layer(name).output for name in names])(bgr)
    normalized = preprocessing.normalize(tf.constant(images), detector.spec.structure.normalization)
    maps = detector.backbone(normalized)
    for found, wanted in zip(maps, tf.nest.flatten(expected), strict=False):
        scale = float(tf.reduce_max(tf.abs(wanted)))
        assert scale > 0
        np.testing.assert_allclose(found, wanted, atol=1e-4 * scale)

    restored = sum(report.restored.values())
    assert restored == model.count_params()
    assert not report.unused
    every = {key: int(np.prod(variable.shape)) for key, variable in detector.checkpoint_variables().items()}
    assert {**report.restored, **report.reinitialized} == every
    assert report.new_classes == ("a", "b")


def thin_vgg(file: pathlib.Path, without: tuple[str, ...] = (), **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """An .h5 of a VGG-16 of a sixteenth of the width, as Keras lays it out; returns the kernels by layer."""
    rng, channels, kernels = np.random.default_rng(2), 3, {}
    for stage, (filters, count) in enumerate(((4, 2), (8, 2), (16, 3), (32, 3), (32, 3)), start=1):
        for number in range(1, count + 1):
            kernels[f"block{stage}_conv{number}"] = (3, 3, channels, filters)
            channels = filters
    kernels |= {"fc1": (7 * 7 * 32, 256), "fc2": (256, 256), "predictions": (256, 10), **shapes}
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in kernels.items() if name not in without}
    with h5py.File(file, "w") as root:
        root.attrs["layer_names"] = [name.encode() for name in ("input_1", *values)]
        root.create_group("input_1").attrs["weight_names"] = []
        for name, kernel in values.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            group[f"{name}_W_1:0"] = kernel
            group[f"{name}_b_1:0"] = np.arange(kernel.shape[-1], dtype=np.float32)
    return values


def variable(detector: Detector, name: str) -> np.ndarray:
    return detector.checkpoint_variables()[f"model/{name}/.ATTRIBUTES/VARIABLE_VALUE"].numpy()


def test_dense_layers_are_thinned_out(tmp_path: pathlib.Path) -> None:
    kernels = thin_vgg(tmp_path / "thin.h5")
    detector = detector_of(VGG, depth_multiplier=1 / 16)
    report = restore_backbone(detector, tmp_path / "thin.h5")
    fc6, fc7 = variable(detector, "fc6/kernel"), variable(detector, "fc7/kernel")
    assert (fc6.shape, fc7.shape) == ((3, 3, 32, 64), (1, 1, 64, 64))
    dense = kernels["fc1"].reshape(7, 7, 32, 256)
    for y, x, channel, filters in ((0, 0, 0, 0), (2, 1, 5, 7), (1, 2, 31, 63)):
        assert fc6[y, x, channel, filters] == dense[3 * y, 3 * x, channel, 4 * filters]
    assert fc7[0, 0, 3, 9] == kernels["fc2"][12, 36]
    assert variable(detector, "fc6/bias").tolist() == list(range(0, 256, 4))
    np.testing.assert_array_equal(variable(detector, "conv1_1/kernel"), kernels["block1_conv1"][:, :, ::-1])  # RGB
    np.testing.assert_array_equal(variable(detector, "conv1_2/kernel"), kernels["block1_conv2"])
    assert report.unused == {"predictions": 256 * 10 + 10}


def test_without_its_top_the_dense_layers_start_afresh(tmp_path: pathlib.Path) -> None:
    thin_vgg(tmp_path / "thin.h5", without=("fc1", "fc2", "predictions"))
    detector = detector_of(VGG, depth_multiplier=1 / 16)
    before = variable(detector, "fc6/kernel")
    report = restore_backbone(detector, tmp_path / "thin.h5")
    np.testing.assert_array_equal(variable(detector, "fc6/kernel"), before)
    assert "model/fc7/bias/.ATTRIBUTES/VARIABLE_VALUE" in report.reinitialized


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda file: file.write_bytes(b"\x89HDF\r\n"), "it is damaged, or something else", id="damaged"),
        pytest.param(lambda file: h5py.File(file, "w").close(), "damaged, or something else", id="an empty .h5"),
        pytest.param(
            lambda file: thin_vgg(file, without=("block5_conv3",)),
            "the layers block5_conv3; found",
            id="a layer",
        ),
        pytest.param(
            lambda file: thin_vgg(file, block3_conv1=(3, 3, 8, 17)),
            "model/conv3_1/kernel is [3, 3, 8, 17], expected [3, 3, 8, 16]",
            id="another shape",
        ),
    ],
)
def test_other_files_are_refused_and_change_nothing(make: Any, message: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "other.h5"
    make(file)
    detector = detector_of(VGG, depth_multiplier=1 / 16)
    before = variable(detector, "conv1_1/kernel")
    with pytest.raises(errors.CheckpointError) as caught:
        restore_backbone(detector, file)
    assert message in str(caught.value)
    np.testing.assert_array_equal(variable(detector, "conv1_1/kernel"), before)


def test_a_model_of_the_zoo_takes_no_classifier(tiny_detector: Detector, tmp_path: pathlib.Path) -> None:
    thin_vgg(tmp_path / "thin.h5")
    with pytest.raises(errors.CheckpointError, match="starts from a detector's"):
        restore_backbone(tiny_detector, tmp_path / "thin.h5")
