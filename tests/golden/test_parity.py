"""Each model against tensors that the TensorFlow Object Detection API computed from the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden_reference import TOLERANCES, Reference

from tfod_transfer import registry
from tfod_transfer.data import resize
from tfod_transfer.modeling import losses, matcher, postprocessing, preprocessing, zoo_checkpoint
from tfod_transfer.modeling.detector import Detector, DetectorOutput, build_detector
from tfod_transfer.modeling.layers import Execution

pytestmark = pytest.mark.golden


def restored(reference: Any, prefix: str, **options: Any) -> Detector:
    detector = build_detector(reference.spec, reference.spec.num_classes, **options)
    names = reference.class_names
    report = zoo_checkpoint.restore(detector, prefix, checkpoint_class_names=names, class_names=names)
    assert not report.reinitialized
    assert not report.unused
    return detector


def normalized_first(images: np.ndarray, reference: Any) -> tf.Tensor:
    """The reference's own order. Ours is equal in exact arithmetic; a rounding there grows to 1e-4 in the logits."""
    size = [reference.spec.input_size] * 2
    return tf.raw_ops.ResizeBilinear(
        images=preprocessing.normalize(images, reference.spec.structure.normalization), size=size
    )


def assert_close(actual: Any, expected: np.ndarray, tolerance: float, what: str) -> None:
    difference = np.abs(np.asarray(actual) - expected).max()
    assert difference <= tolerance, f"{what}: largest difference {difference}"


def reference_part(x: tf.Tensor, *, whole_if_small: bool) -> np.ndarray:
    """The part of a feature map [1, H, W, C] that the golden files keep."""
    x = x[0].numpy()
    if not (whole_if_small and x.shape[0] <= 10):
        x = x[::4, ::4, : 32 if whole_if_small else 16]
    return x[::2, ::2] if x.size >= 20_000 else x


@pytest.fixture(scope="module", params=["fused", "folded"])
def policy(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def detector(reference: Any, prefix: str, policy: Any) -> Detector:
    return restored(reference, prefix, execution=Execution(batch_norm=policy))


@pytest.fixture(scope="module")
def output(reference: Any, detector: Detector) -> DetectorOutput:
    return detector(resize.resize(reference.image(), reference.spec)[tf.newaxis])


def test_missing_references_are_visible(built_model: Any, shared: Any) -> None:
    name = built_model.checkpoint.name
    has_file = (shared("golden") / name / "golden.npz").exists()
    assert has_file == (name in TOLERANCES), "a golden file without a row of tolerances, or the reverse"
    if not has_file:
        pytest.skip(f"no golden file for {built_model.model_id}")


def test_every_zoo_model_restores_completely_and_runs(built_model: Any, shared: Any, tmp_path: Any) -> None:
    reference = Reference(built_model, shared)
    detector = restored(reference, reference.write_checkpoint(tmp_path))
    size = built_model.input_size
    output = detector(np.zeros([1, size, size, 3], np.uint8))
    slots = built_model.num_classes + built_model.structure.background_slot
    assert output.box_encodings.shape == (1, len(detector.anchors), 4)
    assert output.class_logits.shape == (1, len(detector.anchors), slots)
    assert np.all(np.isfinite(output.class_logits))


@pytest.mark.parametrize("name", ["ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8", "efficientdet_d0_coco17_tpu-32"])
def test_preprocessing_of_six_image_sizes(name: str, shared: Any) -> None:
    spec = next(spec for spec in registry.load_registry() if spec.checkpoint.name == name)
    golden = Reference(spec, shared).preprocessed
    sizes = [name.removeprefix("image_") for name in golden if name.startswith("image_")]
    assert len(sizes) == 6
    for size in sizes:
        image = golden[f"image_{size}"]
        actual = preprocessing.normalize(resize.resize(image, spec), spec.structure.normalization)
        filled = resize.content_size(tf.constant(image.shape[:2]), spec)
        assert filled.numpy().tolist() == golden[f"true_shape_{size}"].tolist()[:2], size
        assert_close(actual[::4, ::4], golden[f"out_{size}_every_4"], 1e-6, size)


def test_anchors_are_equal_to_the_last_bit(reference: Any, detector: Detector) -> None:
    golden = reference.tensors
    assert len(detector.anchors) == golden["num_anchors"]
    np.testing.assert_array_equal(detector.anchors[golden["rows"]], golden["anchors"])


def test_every_stage_of_the_network(reference: Any, detector: Detector, policy: Any) -> None:
    golden, tolerance = reference.tensors, reference.tolerances.of(policy)
    backbone = detector.backbone(normalized_first(reference.image()[np.newaxis], reference))
    features = detector.decoder(backbone)
    encodings, logits = detector.head(features)
    numbers = [int(name.split("_")[2]) for name in golden if name.startswith("backbone_out")]
    for number, x in zip(sorted(numbers)[-len(backbone) :], backbone, strict=True):
        name = f"backbone_out_{number}_sub"
        assert_close(reference_part(x, whole_if_small=False), golden[name], tolerance, name)
    for number, x in enumerate(features):
        name = f"feature_map_{number}_sub"
        assert_close(reference_part(x, whole_if_small=True), golden[name], tolerance, name)
    assert_close(encodings.numpy()[0, golden["rows"]], golden["box_encodings"], tolerance, "box encodings")
    assert_close(logits.numpy()[0, golden["rows"]], golden["class_logits"], tolerance, "class logits")


def test_raw_outputs_from_the_image(reference: Any, output: DetectorOutput) -> None:
    golden, tolerance = reference.tensors, reference.tolerances.folded
    assert_close(output.box_encodings.numpy()[0, golden["rows"]], golden["box_encodings"], tolerance, "box encodings")
    assert_close(output.class_logits.numpy()[0, golden["rows"]], golden["class_logits"], tolerance, "class logits")


def test_detections(reference: Any, detector: Detector, output: DetectorOutput) -> None:
    golden = {name.removeprefix("detections/detection_"): x for name, x in reference.tensors.items() if "/" in name}
    detections = postprocessing.detect(output, detector.anchors, reference.spec)
    boxes, classes, scores = (x.numpy()[0] for x in detections[:3])
    assert int(detections.num_detections[0]) == int(golden["detections/num_detections"][0])
    # Near-ties may change places, so that each reference box looks for its like instead of its rank.
    for box, label, score in zip(golden["boxes"][0], golden["classes"][0], golden["scores"][0], strict=True):
        same = (classes == label) & (np.abs(boxes - box).max(axis=-1) < 1e-4) & (np.abs(scores - score) < 1e-4)
        assert same.sum() == 1, f"class {label} at {box} with score {score}"


def test_targets_are_equal_to_the_last_bit(reference: Any, detector: Detector) -> None:
    golden = reference.tensors
    targets = matcher.assign(
        golden["gt_boxes_padded_frame"][np.newaxis],
        golden["gt_classes_zero_based"][np.newaxis],
        detector.anchors,
        reference.spec,
    )
    matches = targets.matches.numpy()[0]
    (positive,) = np.nonzero(matches >= 0)
    np.testing.assert_array_equal(positive, golden["pos_index"])
    np.testing.assert_array_equal(matches[positive], golden["match_positive_gt"])
    np.testing.assert_array_equal(targets.classes.numpy()[0, positive], reference.ground_truth[1][matches[positive]])
    np.testing.assert_array_equal(targets.box_encodings.numpy()[0, positive], golden["pos_reg_targets"])


def test_losses_in_inference_mode(reference: Any, detector: Detector, output: DetectorOutput) -> None:
    golden, expected = reference.tensors, reference.summary["losses_inference_mode"]
    targets = matcher.assign(
        golden["gt_boxes_padded_frame"][np.newaxis],
        golden["gt_classes_zero_based"][np.newaxis],
        detector.anchors,
        reference.spec,
    )
    sums = losses.detection_losses(output, targets, reference.spec)
    classification, localization = losses.normalized(sums, tf.reduce_sum(sums.positives))
    assert float(sums.positives[0]) == expected["num_positive_anchors"]
    assert float(classification) == pytest.approx(expected["classification_loss"], rel=1e-5)
    assert float(localization) == pytest.approx(expected["localization_loss"], rel=1e-5)
    assert float(losses.regularization_loss(detector)) == pytest.approx(expected["regularization_loss"], rel=1e-6)
    assert len(detector.l2_coefficients()) == expected["n_reg_losses"]


def test_l2_coefficient_of_each_variable(reference: Any, detector: Detector) -> None:
    _, expected = reference.training
    assert detector.l2_coefficients() == pytest.approx(expected["keras_l2_coefficient"], rel=1e-6)


def test_one_training_step_with_batch_statistics(reference: Any, prefix: str) -> None:
    golden, expected = reference.training
    detector = restored(reference, prefix, freeze_batch_norm=False)
    named = detector.checkpoint_variables()
    trainable = {key: variable for key, variable in named.items() if variable.trainable}
    images = normalized_first(golden["images"], reference)
    boxes, classes = np.zeros([2, 4, 4], np.float32), np.full([2, 4], -1, np.int32)
    for row, truth in enumerate((golden["gt0"], golden["gt1"])):
        boxes[row, : len(truth)], classes[row, : len(truth)] = truth, reference.ground_truth[1][: len(truth)]

    with tf.GradientTape() as tape:
        features = detector.decoder(detector.backbone(images, training=True), training=True)
        output = DetectorOutput(*detector.head(features, training=True))
        targets = matcher.assign(boxes, classes, detector.anchors, reference.spec)
        sums = losses.detection_losses(output, targets, reference.spec)
        classification, localization = losses.normalized(sums, tf.reduce_sum(sums.positives))
        total = classification + localization + losses.regularization_loss(detector)
    gradients = dict(zip(trainable, tape.gradient(total, list(trainable.values())), strict=True))

    assert float(classification) == pytest.approx(expected["classification_loss"], rel=1e-5)
    assert float(localization) == pytest.approx(expected["localization_loss"], rel=1e-5)
    assert float(total) == pytest.approx(expected["total_loss"], rel=1e-5)
    norms = {key: float(tf.norm(gradient)) for key, gradient in gradients.items()}
    # Before another batch norm an offset has no effect: its gradient is pure rounding, hence the absolute part.
    assert norms == pytest.approx(expected["grad_l2_norms"], rel=1e-4, abs=1e-4)
    assert_close(output.box_encodings, golden["box_encodings"], 1e-4, "box encodings")
    assert_close(output.class_logits[:, ::7], golden["class_predictions_rows_every_7"], 1e-4, "class logits")
    compared = {"grad:": gradients, "after:": named}
    for name, value in golden.items():
        for prefix_of_kind, tensors in compared.items():
            if name.startswith(prefix_of_kind):
                actual = tensors[name.removeprefix(prefix_of_kind)].numpy()
                np.testing.assert_allclose(actual, value, rtol=1e-4, atol=1e-5 * np.abs(value).max(), err_msg=name)
