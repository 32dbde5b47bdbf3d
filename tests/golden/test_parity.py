"""Each model against tensors that the TensorFlow Object Detection API computed from the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from golden_reference import TOLERANCES, Reference, Tolerances
from golden_runs import Run, assert_close, normalized_first, restored, unused_penalties

from tfod_transfer import registry
from tfod_transfer.data import resize
from tfod_transfer.modeling import losses, matcher, postprocessing, preprocessing
from tfod_transfer.modeling.detector import Detector, DetectorOutput
from tfod_transfer.modeling.layers import Execution

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def detector(reference: Reference, prefix: str) -> Detector:
    return restored(reference, prefix)


@pytest.fixture(scope="module", params=["fused", "folded"])
def run(reference: Reference, detector: Detector, request: pytest.FixtureRequest) -> Run:
    spec, tolerances = reference.spec, getattr(reference.tolerances, request.param)
    with detector.execution.changed_to(Execution(batch_norm=request.param)):
        if request.param == "fused":
            backbone = detector.backbone(normalized_first(reference.image()[np.newaxis], spec))
            features = detector.decoder(backbone)
            return Run(backbone, features, DetectorOutput(*detector.head(features)), tolerances)
        image = resize.resize(reference.image(), spec)[tf.newaxis]
        backbone = detector.backbone(preprocessing.normalize(image, spec.structure.normalization))
        return Run(backbone, detector.decoder(backbone), detector(image), tolerances)


@pytest.fixture(scope="module")
def targets(reference: Reference, detector: Detector) -> matcher.Targets:
    boxes, classes = (reference.tensors[name] for name in ("gt_boxes_padded_frame", "gt_classes_zero_based"))
    return matcher.assign(boxes[np.newaxis], classes[np.newaxis], detector.anchors, reference.spec)


def test_missing_references_are_visible(built_model: Any, shared: Any) -> None:
    exists = Reference(built_model, shared).exists
    name = built_model.checkpoint.name
    assert exists == (name in TOLERANCES), "reference tensors without a row of tolerances, or the reverse"
    if not exists:
        pytest.skip(f"no reference tensors for {built_model.model_id}")


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


def test_preprocessing_of_the_image(reference: Reference) -> None:
    (name,) = (name for name in reference.tensors if name.startswith("preprocessed_every_"))
    step = int(name.rsplit("_", 1)[1])
    image = resize.resize(reference.image(), reference.spec)
    actual = preprocessing.normalize(image, reference.spec.structure.normalization)[::step, ::step]
    # Of numbers around 100 in float32 the last bit is 1e-5.
    assert_close(actual, reference.tensors[name], 3e-5, name)


def test_anchors_are_equal_to_the_last_bit(reference: Reference, detector: Detector) -> None:
    golden = reference.tensors
    assert len(detector.anchors) == golden["num_anchors"]
    np.testing.assert_array_equal(detector.anchors[golden["rows"]], golden["anchors"])


def test_every_stage_of_the_network(reference: Reference, run: Run) -> None:
    golden, tolerance = reference.tensors, run.tolerances.raw
    numbers = sorted(int(name.split("_")[2]) for name in golden if name.startswith("backbone_out"))
    names = [f"backbone_out_{number}_sub" for number in numbers[-len(run.backbone) :]]
    names += [f"feature_map_{number}_sub" for number in range(len(run.features))]
    assert set(names) >= {name for name in golden if name.startswith("feature_map")}
    for name, x in zip(names, [*run.backbone, *run.features], strict=True):
        assert_close(reference.part(x.numpy(), name), golden[name], tolerance, name)
    encodings, logits = (x.numpy()[0, golden["rows"]] for x in run.output)
    assert_close(encodings, golden["box_encodings"], tolerance, "box encodings")
    assert_close(logits, golden["class_logits"], tolerance, "class logits")


def test_detections(reference: Reference, detector: Detector, run: Run) -> None:
    spec = reference.spec
    windows = resize.windows(tf.constant([reference.image().shape[:2]]), spec)
    ours = postprocessing.detect(run.output, detector.anchors, spec, windows=windows)
    golden = {name: reference.tensors[f"detections/detection_{name}"][0] for name in ("boxes", "classes", "scores")}
    assert int(ours.num_detections[0]) == int(reference.tensors["detections/num_detections"][0])
    assert_all_found(golden, {name: getattr(ours, name)[0].numpy() for name in golden}, run.tolerances)
    assert_all_found({name: getattr(ours, name)[0].numpy() for name in golden}, golden, run.tolerances)


def assert_all_found(expected: dict[str, np.ndarray], among: dict[str, np.ndarray], tolerances: Tolerances) -> None:
    """Each expected detection is there once; those may miss that are no better than the last one, within tolerance.

    Near-ties may change places, so that each looks for its like instead of its rank.
    """
    certain = expected["scores"] > among["scores"][-1] + tolerances.scores
    assert certain.sum() >= 40
    for box, label, score in zip(*(expected[name][certain] for name in ("boxes", "classes", "scores")), strict=True):
        near = np.abs(among["boxes"] - box).max(axis=-1) <= tolerances.boxes
        same = near & (among["classes"] == label) & (np.abs(among["scores"] - score) <= tolerances.scores)
        assert same.sum() == 1, f"class {label} at {box} with score {score}"


def test_targets_are_equal_to_the_last_bit(reference: Reference, targets: matcher.Targets) -> None:
    golden = reference.tensors
    matches = targets.matches.numpy()[0]
    (positive,) = np.nonzero(matches >= 0)
    np.testing.assert_array_equal(positive, golden["pos_index"])
    np.testing.assert_array_equal(matches[positive], golden["match_positive_gt"])
    np.testing.assert_array_equal(targets.classes.numpy()[0, positive], reference.ground_truth[1][matches[positive]])
    np.testing.assert_array_equal(targets.box_encodings.numpy()[0, positive], golden["pos_reg_targets"])


def test_losses_in_inference_mode(reference: Reference, targets: matcher.Targets, run: Run) -> None:
    expected = reference.summary["losses_inference_mode"]
    sums = losses.detection_losses(run.output, targets, reference.spec)
    classification, localization = losses.normalized(sums, tf.reduce_sum(sums.positives))
    assert float(sums.positives[0]) == expected["num_positive_anchors"]
    assert float(classification) == pytest.approx(expected["classification_loss"], rel=run.tolerances.losses)
    assert float(localization) == pytest.approx(expected["localization_loss"], rel=run.tolerances.losses)


def test_regularization_loss(reference: Reference, detector: Detector) -> None:
    expected, unused = reference.summary["losses_inference_mode"], unused_penalties(reference, detector)
    actual = float(losses.regularization_loss(detector)) + sum(unused.values())
    assert actual == pytest.approx(expected["regularization_loss"], rel=1e-6)
    assert len(detector.l2_coefficients()) + len(unused) == expected["n_reg_losses"]
