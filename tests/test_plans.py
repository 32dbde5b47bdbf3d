"""What a run is asked for, in the form of either algorithm."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest

from tfod_transfer import artifact, errors, hyperparameters, plans, ssd_hyperparameters
from tfod_transfer.registry import load_registry
from tfod_transfer.weights import PretrainedSource

ZOO = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
VGG, RESNET = "object-detection-ssd-vgg-16", "object-detection-ssd-resnet-50"


@pytest.mark.parametrize(
    ("model_id", "given", "expected"),
    [
        pytest.param(None, {"base_network": "resnet-50"}, RESNET, id="by its base network"),
        pytest.param(None, {"mini_batch_size": 4}, VGG, id="by the guide's default"),
        pytest.param(RESNET, {}, RESNET, id="by its id"),
        pytest.param(RESNET, {"base_network": None, "image_shape": "512"}, RESNET, id="by its id, with an input"),
        pytest.param(ZOO, {"image_shape": 320, "nms_threshold": 0.3}, ZOO, id="of the zoo"),
    ],
)
def test_the_model_of_a_run(model_id: str | None, given: dict[str, object], expected: str) -> None:
    plan = plans.plan(load_registry(), model_id, given)
    assert plan.spec.model_id == expected
    assert plan.spec.input_size == int(given.get("image_shape") or plan.spec.input_size)
    assert (plan.ssd is None) == (expected == ZOO)
    assert plan.settings.batch_size == (given.get("mini_batch_size") or (32 if plan.ssd else 4))


def test_the_input_and_the_suppression_are_the_models() -> None:
    spec = plans.plan(load_registry(), VGG, {"image_shape": 512, "nms_threshold": 0.3, "nms_topk": 50}).spec
    assert (spec.input_size, spec.structure.num_levels) == (512, 7)
    assert (spec.structure.nms_iou, spec.structure.nms_topk, spec.detection.max_detections) == (0.3, 50, 50)


def test_the_anchors_are_those_asked_for_or_those_that_the_weights_know(tmp_path: pathlib.Path) -> None:
    artifact.write_info(tmp_path, artifact.ModelInfo(ZOO, 320, True, ("a",), (1,), anchor_scale=3.0))
    earlier = artifact.info_beside(tmp_path / "checkpoint")
    for given, info, expected in (({}, None, 4), ({}, earlier, 3), ({"anchor_scale": 2}, earlier, 2)):
        plan = plans.plan(load_registry(), ZOO, given)
        assert plans.with_anchors_of(info, plan.spec, plan.settings).structure.anchor_scale == expected


@pytest.mark.parametrize(
    ("model_id", "given", "message"),
    [
        (None, {"epochs": 3}, "--model_id ID is needed (or --base_network vgg-16 or resnet-50"),
        (ZOO, {"mini_batch_size": 3}, "mini_batch_size: of SageMaker's Object Detection (SSD)"),
        (VGG, {"base_network": "resnet-50"}, f"base_network is resnet-50, and {VGG} has vgg-16"),
        (ZOO, {"image_shape": 512}, "takes images of 320 pixels only (image_shape); found 512"),
        (VGG, {"anchor_scale": 2}, "are not of one scale: no anchor_scale"),
        (ZOO, {"anchor_scale": 2, "epochs": 0}, "and epochs 0 trains nothing"),
        (ZOO, {"anchor_scale": 2, "train_only_on_top_layer": True}, "train_only_on_top_layer trains no boxes"),
        (ZOO, {"nms_topk": 100}, "all boxes compete in non-max suppression"),
        (VGG, {"batchsize": 3}, "unknown hyperparameter 'batchsize'. Did you mean 'batch_size'?"),
    ],
)
def test_what_does_not_go_together(model_id: str | None, given: dict[str, object], message: str) -> None:
    with pytest.raises(errors.TransferError) as caught:
        plans.plan(load_registry(), model_id, given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "from_weights", "from_scratch", "frozen"),
    [
        pytest.param({}, False, False, True, id="the guide's default"),
        pytest.param({"use_pretrained_model": 0}, False, True, False, id="random weights"),
        pytest.param({"use_pretrained_model": 0}, True, True, True, id="an earlier job's"),
        pytest.param({"use_pretrained_model": 0, "freeze_batch_norm": "True"}, False, True, True, id="frozen by hand"),
    ],
)
def test_where_weights_come_from(
    given: dict[str, object], from_weights: bool, from_scratch: bool, frozen: bool
) -> None:
    plan = plans.plan(load_registry(), RESNET, given, from_weights=from_weights)
    assert (plan.from_scratch, plan.settings.freeze_batch_norm) == (from_scratch, frozen)


def test_a_recipe_is_a_run_without_hyperparameters() -> None:
    for model_id in (ZOO, VGG):
        assert plans.recipe(load_registry().get(model_id)) == plans.plan(load_registry(), model_id, {}).settings


def data_of(ids: tuple[int, ...], images: int = 4, most_boxes: int = 3) -> types.SimpleNamespace:
    class Images:
        category_ids, class_names = ids, tuple(map(str, ids))
        boxes_per_image = np.array([most_boxes])

        def __len__(self) -> int:
            return images

    return types.SimpleNamespace(train=Images())


@pytest.mark.parametrize(
    ("asked", "data", "words"),
    [
        pytest.param({}, data_of((0, 1)), [], id="nothing said"),
        pytest.param({"num_classes": 2, "num_training_samples": 4}, data_of((0, 1)), [], id="all as said"),
        pytest.param({"num_classes": 4}, data_of((1, 7)), ["num_classes is 4; the data's classes are 1, 7"], id="ids"),
        pytest.param({"num_training_samples": 5}, data_of((0,)), ["is 5, the data has 4"], id="images"),
        pytest.param({}, data_of((0,), most_boxes=70), ["label_width is 350, and 352 are needed"], id="many boxes"),
        pytest.param({}, data_of((0,), most_boxes=69), [], id="as many as fit"),
    ],
)
def test_what_is_said_of_the_data_and_is_otherwise(
    asked: dict[str, object], data: types.SimpleNamespace, words: list[str]
) -> None:
    lines = plans.remarks(ssd_hyperparameters.resolve(asked), data)
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


def source(folder: pathlib.Path, model_id: str, names: tuple[str, ...]) -> PretrainedSource:
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    info = artifact.ModelInfo(model_id, 300, True, names, tuple(range(len(names))), algorithm=plans.SSD)
    (folder / artifact.INFO_FILE).write_text(json.dumps(info.to_dict()))
    return PretrainedSource(str(checkpoint / "ckpt-0"), str(checkpoint), "given", names, finetuned=True)


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        pytest.param(("cat", "dog"), ("cat", "dog"), id="the same"),
        pytest.param(("dog", "cat"), ("dog", "cat"), id="in another order, which the head follows by name"),
        pytest.param(("0", "1"), ("cat", "dog"), id="numbers: class 0 stays class 0"),
        pytest.param(("a", "b", "c"), "needs the same num_classes", id="another number"),
    ],
)
def test_an_earlier_jobs_classes(names: tuple[str, ...], taken: object, tmp_path: pathlib.Path) -> None:
    pretrained = source(tmp_path, VGG, names)
    data = types.SimpleNamespace(train=types.SimpleNamespace(class_names=("cat", "dog")))
    if isinstance(taken, str):
        with pytest.raises(errors.CheckpointError, match=taken):
            plans.continued(load_registry().get(VGG), pretrained, data)
        return
    found = plans.continued(load_registry().get(VGG), pretrained, data)
    assert found == dataclasses.replace(pretrained, class_names=taken)
    with pytest.raises(errors.CheckpointError, match="needs the same base_network"):
        plans.continued(load_registry().get(RESNET), pretrained, data)


def test_weights_of_no_earlier_job_are_taken_as_they_are(tmp_path: pathlib.Path) -> None:
    plain = PretrainedSource(str(tmp_path / "weights.h5"), str(tmp_path), "given", (), finetuned=False)
    assert plain.of_backbone
    assert plans.continued(load_registry().get(VGG), plain, None) is plain


def test_every_hyperparameter_of_either_table_has_one_meaning() -> None:
    shared = set(ssd_hyperparameters.TABLE.fields) & set(hyperparameters.FIELDS)
    kinds = ({name: str(table[name].type).removesuffix(" | None") for name in shared}
             for table in (ssd_hyperparameters.TABLE.fields, hyperparameters.FIELDS))  # fmt: skip
    first, second = kinds
    assert first == second
