"""SSD as SageMaker's Object Detection has it: sizes, counts, targets, hard negatives, detections."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import slow_multibox
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer import errors, registry
from tfod_transfer.modeling import anchors, box_coder, losses, matcher, multibox, postprocessing
from tfod_transfer.modeling.detector import DetectorOutput, build_detector

VGG, RESNET = "object-detection-ssd-vgg-16", "object-detection-ssd-resnet-50"


def spec_of(model_id: str, size: int = 300, **changes: object) -> registry.ModelSpec:
    spec = registry.load_registry().get(model_id).adapted(size)
    return dataclasses.replace(spec, structure=dataclasses.replace(spec.structure, **changes))


@pytest.mark.parametrize(
    ("model_id", "size", "sides", "count"),
    [
        pytest.param(VGG, 300, [38, 19, 10, 5, 3, 1], 8732, id="SSD300 of the paper"),
        pytest.param(VGG, 512, [64, 32, 16, 8, 4, 2, 1], 24564, id="SSD512 of the paper"),
        pytest.param(VGG, 447, [56, 28, 14, 7, 5, 3], 18854, id="largest with six maps"),
        pytest.param(VGG, 448, [56, 28, 14, 7, 4, 2, 1], 18834, id="smallest with seven maps"),
        pytest.param(RESNET, 300, [19, 10, 5, 3, 2, 1], 2268, id="ResNet 300"),
        pytest.param(RESNET, 512, [32, 16, 8, 4, 2, 1], 6132, id="ResNet 512"),
    ],
)
def test_maps_and_anchors(model_id: str, size: int, sides: list[int], count: int) -> None:
    spec = spec_of(model_id, size)
    assert multibox.map_sides(spec.structure, size) == sides
    per_cell = anchors.anchors_per_cell(spec)
    assert sum(side * side * number for side, number in zip(sides, per_cell, strict=True)) == count
    assert anchors.generate(spec).shape == (count, 4)


def test_anchors_of_a_cell_are_squares_then_the_other_ratios() -> None:
    boxes = anchors.generate(spec_of(VGG)).astype(np.float64) * 300
    sizes, middles = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    root = np.sqrt(2)
    expected = [[30, 30], [42.3, 42.3], [30 / root, 30 * root], [30 * root, 30 / root]]  # (height, width)
    np.testing.assert_allclose(sizes[:4], expected, rtol=1e-5)
    np.testing.assert_allclose(middles[[0, 4, 38 * 4]], [[4, 4], [4, 12], [12, 4]], rtol=1e-5)  # 8 pixels apart
    second = 38 * 38 * 4
    np.testing.assert_allclose(sizes[second + 4], [60 / np.sqrt(3), 60 * np.sqrt(3)], rtol=1e-5)
    np.testing.assert_allclose(middles[second], [8, 8], rtol=1e-5)  # 16 apart, though 19 of them make 304
    np.testing.assert_allclose(boxes[-4], [150 - 132, 150 - 132, 150 + 132, 150 + 132], rtol=1e-5)


@pytest.mark.parametrize("model_id", [VGG, RESNET])
@pytest.mark.parametrize("size", [300, 331, 512])
def test_the_network_has_the_maps_that_the_anchors_are_for(model_id: str, size: int) -> None:
    detector = build_detector(spec_of(model_id, size, depth_multiplier=1 / 16), 3)
    images = tf.zeros([1, size, size, 3])
    maps = detector.decoder(detector.backbone(images))
    assert [x.shape[1] for x in maps] == multibox.map_sides(detector.spec.structure, size)
    output = detector(images)
    assert output.class_logits.shape == (1, len(detector.anchors), 4)
    assert output.box_encodings.shape == (1, len(detector.anchors), 4)


def conv(size: int, inputs: int, filters: int) -> int:
    return size * size * inputs * filters + filters


def extra(*steps: tuple[int, int, int]) -> int:
    """Parameters of pairs of convolutions, (inputs, filters of the 1x1, filters of the 3x3) each."""
    return sum(conv(1, inputs, squeezed) + conv(3, squeezed, filters) for inputs, squeezed, filters in steps)


VGG_REDUCED = 14_714_688 + conv(3, 512, 1024) + conv(1, 1024, 1024) + 512  # published VGG-16, fc6, fc7, scales
RESNET_50 = 23_587_712 - 53_120  # published, without top, without the statistics
LAST = ((256, 128, 256),)
# (model, size): (backbone, extra maps, channels of the maps)
PARTS = {
    (VGG, 300): (VGG_REDUCED, extra((1024, 256, 512), (512, 128, 256), *LAST * 2), [512, 1024, 512, *[256] * 3]),
    (VGG, 512): (VGG_REDUCED, extra((1024, 256, 512), (512, 128, 256), *LAST * 3), [512, 1024, 512, *[256] * 4]),
    (RESNET, 512): (
        RESNET_50,
        extra((2048, 256, 512), (512, 128, 256), *LAST, (256, 128, 128)),
        [1024, 2048, 512, 256, 256, 128],
    ),
}


@pytest.mark.parametrize(("model_id", "size"), PARTS)
def test_parameters(model_id: str, size: int) -> None:
    spec, (backbone, extras, channels) = spec_of(model_id, size), PARTS[model_id, size]
    detector = build_detector(spec, 20)
    count = sum(int(np.prod(variable.shape)) for variable in detector.trainable_variables)
    per_cell = anchors.anchors_per_cell(spec)
    heads = sum(conv(3, each, number * (4 + 21)) for each, number in zip(channels, per_cell, strict=True))
    assert count == backbone + extras + heads
    if (model_id, size) == (VGG, 300):  # what implementations of the paper's SSD300 for VOC's 20 classes have
        assert count == 26_285_486
    assert len(detector.checkpoint_variables()) == len(detector.variables)


def test_the_first_map_of_vgg_has_pixels_of_one_length() -> None:
    detector = build_detector(spec_of(VGG, depth_multiplier=1 / 16), 1)
    noise = tf.random.stateless_uniform([1, 300, 300, 3], [0, 0], 0, 255)
    backbone_maps = detector.backbone(noise)
    maps = detector.decoder(backbone_maps)
    lengths = tf.norm(maps[0], axis=-1).numpy()
    np.testing.assert_allclose(lengths[lengths > 0], 20, rtol=1e-3)
    np.testing.assert_array_equal(maps[1], backbone_maps[1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_boxes=st.integers(1, 8), copies=st.booleans())
def test_targets_agree_with_one_pair_at_a_time(seed: int, num_boxes: int, copies: bool) -> None:
    rng = np.random.default_rng(seed)
    spec = spec_of(RESNET)
    some = anchors.generate(spec)[::23]
    corner = rng.uniform(0, 0.7, (2, num_boxes, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.02, 0.5, corner.shape)], axis=-1).astype(np.float32)
    if copies:  # boxes that want the same anchors
        boxes[:, num_boxes // 2 :] = boxes[:, :1] + rng.uniform(0, 0.01, boxes[:, num_boxes // 2 :].shape)
    classes = rng.integers(-1, 3, (2, num_boxes)).astype(np.int32)
    found = matcher.assign(boxes, classes, some, spec)
    assert found.matches.numpy().tolist() == [slow_multibox.matches(boxes[i], classes[i], some) for i in range(2)]


def test_every_box_that_overlaps_an_anchor_has_one_of_its_own() -> None:
    same = np.repeat(np.array([[0.2, 0.2, 0.4, 0.4]], np.float32), 5, axis=0)
    some = anchors.generate(spec_of(RESNET))
    matches = matcher.assign(same[np.newaxis], np.ones([1, 5], np.int32), some, spec_of(RESNET)).matches.numpy()[0]
    assert set(matches) == {-1, 0, 1, 2, 3, 4}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.02, 0.2, 0.6]))
def test_hard_negatives_agree_with_a_sorted_list(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, 60, 4)).astype(np.float32)
    classes = np.where(rng.uniform(size=(2, 60)) < share, rng.integers(0, 3, (2, 60)), -1).astype(np.int32)
    found = losses.hard_negative_loss(tf.constant(logits), tf.constant(classes)).numpy()
    expected = [slow_multibox.classification_loss(logits[i], classes[i]) / 4 for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_only_anchors_that_count_have_a_gradient() -> None:
    rng = np.random.default_rng(3)
    logits = tf.Variable(rng.normal(0, 2, (1, 40, 3)).astype(np.float32))
    classes = np.full([1, 40], -1, np.int32)
    classes[0, [4, 9]] = 1
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses.hard_negative_loss(logits, tf.constant(classes)))
    touched = np.flatnonzero(np.abs(tape.gradient(loss, logits).numpy()[0]).sum(axis=1))
    assert sorted(touched) == sorted(slow_multibox.counted_anchors(logits.numpy()[0], classes[0]))
    assert len(touched) == 8


def test_losses_of_an_image_are_divided_by_its_positives() -> None:
    spec, targets = (
        spec_of(RESNET),
        matcher.Targets(
            classes=tf.constant([[1, -1, -1, -1, -1]]),
            box_encodings=tf.zeros([1, 5, 4]),
            matches=tf.constant([[0, -1, -1, -1, -1]]),
        ),
    )
    output = DetectorOutput(tf.fill([1, 5, 4], 3.0), tf.zeros([1, 5, 3]))
    found = losses.detection_losses(output, targets, spec)
    assert float(found.positives[0]) == 1
    assert float(found.classification[0]) == pytest.approx(np.log(3))  # four anchors of log 3, divided by four
    assert float(found.localization[0]) == pytest.approx(2.5)  # smooth L1 of 3, the mean over four coordinates


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    topk=st.sampled_from([5, 30, 400]),
    iou=st.sampled_from([0.45, 0.1]),
    threshold=st.sampled_from([1e-8, 0.5]),
    with_anchors=st.booleans(),
)
def test_detections_agree_with_one_box_at_a_time(
    seed: int, topk: int, iou: float, threshold: float, with_anchors: bool
) -> None:
    rng = np.random.default_rng(seed)
    spec = spec_of(RESNET).adapted(nms_iou=iou, nms_topk=topk)
    middle = rng.uniform(0.3, 0.7, (60, 2))
    some = np.concatenate([middle - 0.15, middle + 0.15], axis=1).astype(np.float32)
    encodings = rng.normal(0, 0.3, (1, 60, 4)).astype(np.float32)
    logits = rng.normal(0, 2, (1, 60, 4)).astype(np.float32)
    options = dataclasses.replace(spec.detection, score_threshold=threshold)
    found = postprocessing.detect(
        DetectorOutput(tf.constant(encodings), tf.constant(logits)),
        some,
        spec,
        with_anchors=with_anchors,
        **options.to_dict(),
    )
    boxes = box_coder.decode(encodings, some, spec.structure.box_coder_scales).numpy()[0]
    expected = slow_multibox.detections(boxes, logits[0], iou, topk, threshold)
    count = int(found.num_detections[0])
    assert found.boxes.shape == (1, topk, 4)
    assert [int(label) for label in found.classes[0, :count]] == [label for _, label, _ in expected]
    np.testing.assert_allclose(found.scores[0, :count], [score for score, *_ in expected], rtol=1e-5)
    rows = [row for *_, row in expected]
    np.testing.assert_allclose(found.boxes[0, :count], np.clip(boxes[rows], 0, 1), atol=1e-6)
    if with_anchors:
        assert found.anchors[0, :count].numpy().tolist() == rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": 299}, "takes images of 300 pixels or more (image_shape); found 299"),
        ({"input_size": 512}, None),
    ],
)
def test_what_may_be_adapted(changes: dict[str, int], message: str | None) -> None:
    spec = registry.load_registry().get(VGG)
    if message is None:
        assert spec.adapted(**changes).adapted(input_size=300) == spec
        return
    with pytest.raises(errors.RegistryError) as caught:
        spec.adapted(**changes)
    assert message in str(caught.value)


def test_models_of_the_zoo_keep_their_input_and_their_suppression() -> None:
    spec = registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8")
    assert spec.adapted() == spec.adapted(input_size=320) == spec
    assert spec.adapted(nms_iou=0.4).structure.nms_iou == 0.4
    with pytest.raises(errors.RegistryError, match="takes images of 320 pixels only"):
        spec.adapted(input_size=512)
    with pytest.raises(errors.RegistryError, match="no nms_topk"):
        spec.adapted(nms_topk=400)


def test_scores_of_slots_are_shares_where_classes_exclude_each_other() -> None:
    logits = tf.constant([[2.0, -1.0, 0.5]])
    shares = postprocessing.slot_scores(logits, spec_of(VGG)).numpy()
    np.testing.assert_allclose(shares, slow_multibox.softmax(logits.numpy()), rtol=1e-6)
    zoo = registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8")
    np.testing.assert_array_equal(postprocessing.slot_scores(logits, zoo), tf.sigmoid(logits))
