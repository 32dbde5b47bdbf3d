from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import math
import pathlib
import re
import subprocess
import sys
import typing
from collections.abc import Callable

import pytest
import yaml

from tfod_transfer import errors, hyperparameters, registry
from tfod_transfer.demo import shapes

ZOO = "http://download.tensorflow.org/models/object_detection/tf2/20200711/"
PREFIX = "tensorflow-od1-ssd-"
DEMO = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"
FPNLITE_320 = PREFIX + "mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
FINISHED = "tensorflow-od-efficientdet-d0-1"

# model_id after PREFIX: (archive, input size, published COCO mAP, floats in the checkpoint)
JUMPSTART = {
    "resnet50-v1-fpn-640x640-coco17-tpu-8": ("ssd_resnet50_v1_fpn_640x640_coco17_tpu-8", 640, 34.3, 32_916_218),
    "resnet50-v1-fpn-1024x1024-coco17-tpu-8": ("ssd_resnet50_v1_fpn_1024x1024_coco17_tpu-8", 1024, 38.3, 32_916_218),
    "resnet101-v1-fpn-640x640-coco17-tpu-8": ("ssd_resnet101_v1_fpn_640x640_coco17_tpu-8", 640, 35.6, 51_960_570),
    "resnet101-v1-fpn-1024x1024-coco17-tpu-8": ("ssd_resnet101_v1_fpn_1024x1024_coco17_tpu-8", 1024, 39.5, 51_960_570),
    "resnet152-v1-fpn-640x640-coco17-tpu-8": ("ssd_resnet152_v1_fpn_640x640_coco17_tpu-8", 640, 35.4, 67_650_298),
    "resnet152-v1-fpn-1024x1024-coco17-tpu-8": ("ssd_resnet152_v1_fpn_1024x1024_coco17_tpu-8", 1024, 39.6, 67_650_298),
    "mobilenet-v1-fpn-640x640-coco17-tpu-8": ("ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8", 640, 29.1, 12_125_178),
    "mobilenet-v2-fpnlite-320x320-coco17-tpu-8": (
        "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8",
        320,
        22.2,
        2_667_002,
    ),
    "mobilenet-v2-fpnlite-640x640-coco17-tpu-8": (
        "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8",
        640,
        28.2,
        2_667_002,
    ),
    "efficientdet-d0-512x512-coco17-tpu-8": ("efficientdet_d0_coco17_tpu-32", 512, 33.6, 5_622_923),
    "efficientdet-d1-640x640-coco17-tpu-8": ("efficientdet_d1_coco17_tpu-32", 640, 38.4, 8_393_074),
    "efficientdet-d2-768x768-coco17-tpu-8": ("efficientdet_d2_coco17_tpu-32", 768, 41.8, 10_089_063),
    "efficientdet-d3-896x896-coco17-tpu-32": ("efficientdet_d3_coco17_tpu-32", 896, 45.4, 14_279_568),
}

# The same of archives that have no id at JumpStart.
FURTHER = {
    "mobilenet-v2-320x320-coco17-tpu-8": ("ssd_mobilenet_v2_320x320_coco17_tpu-8", 300, 20.2, 6_103_999),
    "efficientdet-d4-1024x1024-coco17-tpu-32": ("efficientdet_d4_coco17_tpu-32", 1024, 48.5, 23_493_971),
    "efficientdet-d5-1280x1280-coco17-tpu-32": ("efficientdet_d5_coco17_tpu-32", 1280, 49.7, 36_986_475),
    "efficientdet-d6-1408x1408-coco17-tpu-32": ("efficientdet_d6_coco17_tpu-32", 1408, 50.5, 55_825_086),
    "efficientdet-d7-1536x1536-coco17-tpu-32": ("efficientdet_d7_coco17_tpu-32", 1536, 51.2, 55_825_086),
}
ZOO_MODELS = {**JUMPSTART, **FURTHER}
# Of SageMaker's Object Detection: architecture, floats in the ImageNet classifier's file.
SSD_MODELS = {
    "object-detection-ssd-vgg-16": ("vgg16", 138_357_544),
    "object-detection-ssd-resnet-50": ("resnet50", 23_587_712),
}


def zoo_models(models: registry.Registry) -> list[registry.ModelSpec]:
    """Those of Object Detection - TensorFlow, the demonstration's too."""
    return [spec for spec in models if spec.algorithm == "object-detection-tensorflow"]


@pytest.fixture(scope="module")
def models() -> registry.Registry:
    return registry.load_registry()


def test_the_ids_are_those_of_jumpstart_and_our_own(models: registry.Registry) -> None:
    assert set(models.model_ids()) == {PREFIX + suffix for suffix in ZOO_MODELS} | {DEMO} | set(SSD_MODELS)
    assert len(models.model_ids()) == len(models) == len(JUMPSTART) + len(FURTHER) + 1 + len(SSD_MODELS)


def test_the_finished_models_are_those_of_jumpstart(models: registry.Registry) -> None:
    families = collections.Counter(
        re.split(r"-\d|-resnet|-d\d|-hour|-incep|-mobile", model_id)[0] for model_id in models.saved_models
    )
    assert families == {
        "tensorflow-od-centernet": 9,
        "tensorflow-od-efficientdet": 6,
        "tensorflow-od-faster-rcnn": 11,
        "tensorflow-od-retinanet": 6,
        "tensorflow-od-ssd": 4,
    }
    for spec in models.saved_models.values():
        handle = spec.url.removeprefix("https://tfhub.dev/tensorflow/")
        assert spec.model_id == "tensorflow-od-" + handle.replace("/", "-").replace("_", "-")
        assert spec.keypoints == ("kpts" in handle)
        assert spec.class_names == models.get(FPNLITE_320).class_names
    same = {
        s.model_id: models.get(s.nearest).coco_map for s in models.saved_models.values() if "retinanet" in s.model_id
    }
    assert same == {model_id: models.saved_models[model_id].coco_map for model_id in same}


@pytest.mark.parametrize("suffix", ZOO_MODELS)
def test_a_zoo_entry_says_what_is_published_about_it(models: registry.Registry, suffix: str) -> None:
    spec = models.get(PREFIX + suffix)
    archive, input_size, coco_map, parameters = ZOO_MODELS[suffix]
    assert spec.checkpoint.url == f"{ZOO}{archive}.tar.gz"
    assert (spec.checkpoint.name, spec.checkpoint.archive) == (archive, f"{archive}.tar.gz")
    assert (spec.input_size, spec.coco_map, spec.parameters) == (input_size, coco_map, parameters)
    assert spec.num_classes == 90
    assert spec.license == "Apache-2.0"
    assert "COCO" in spec.source


@pytest.mark.parametrize("suffix", [*JUMPSTART, "efficientdet-d4-1024x1024-coco17-tpu-32"])
def test_a_zoo_entry_agrees_with_the_keys_of_its_checkpoint(
    models: registry.Registry, suffix: str, shared: Callable[[str], pathlib.Path]
) -> None:
    spec = models.get(PREFIX + suffix)
    keys = json.loads(shared(f"zoo/keys/{spec.checkpoint.name}.json").read_text())
    floats = sum(math.prod(entry["shape"]) for entry in keys if entry["dtype"] == "float32")
    assert spec.parameters == floats
    # A data file is its floats plus the object graph, a few hundred bytes for a variable.
    if spec.checkpoint.data_bytes is not None:
        assert 4 * floats < spec.checkpoint.data_bytes < 4 * floats + 600 * len(keys)
    shapes = {entry["key"].removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): entry["shape"] for entry in keys}
    predictors = "model/_box_predictor/"
    classes = f"{predictors}_prediction_heads/class_predictions_with_background/_class_predictor_layers/0/bias"
    anchors = spec.structure.scales_per_octave * len(spec.structure.aspect_ratios)
    assert shapes[classes] == [anchors * (spec.num_classes + spec.structure.background_slot)]
    boxes = [shape for key, shape in shapes.items() if key.startswith(f"{predictors}_box_prediction_head/")]
    kernel = max(boxes, key=len)  # its inputs come third, in plain and in separable convolutions
    assert [4 * anchors] in boxes
    assert spec.structure.feature_depth == kernel[2]
    norms = [key.split("/")[4:6] for key in shapes if "/_base_tower_layers_for_heads/box_encodings/" in key]
    assert {int(layer) for _, layer in norms} == set(range(1, 3 * spec.structure.head_convs, 3))
    levels = spec.structure.max_level - spec.structure.min_level + 1
    assert {int(level) for level, _ in norms} == set(range(levels))
    nodes = {key.split("/")[4] for key in shapes if "/_bifpn_stage/node_post_combine_block/" in key}
    assert len(nodes) == 8 * spec.structure.bifpn_iterations


@pytest.mark.parametrize("suffix", JUMPSTART)
def test_the_digest_is_over_the_known_checksums(
    models: registry.Registry, suffix: str, shared: Callable[[str], pathlib.Path]
) -> None:
    checkpoint = models.get(PREFIX + suffix).checkpoint
    path = shared("zoo/crc32c") / f"{checkpoint.name}.json"
    if not path.exists():
        assert checkpoint.tensor_crc_digest is None
        return
    crcs = json.loads(path.read_text())
    lines = "".join(f"{key} {crcs[key]}\n" for key in sorted(crcs))
    assert checkpoint.tensor_crc_digest == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("model_id", SSD_MODELS)
def test_an_ssd_entry_names_the_weights_of_keras(models: registry.Registry, model_id: str) -> None:
    spec, (network, parameters) = models.get(model_id), SSD_MODELS[model_id]
    assert (spec.algorithm, spec.num_classes, spec.parameters) == ("object-detection", 0, parameters)
    assert (spec.input_size, spec.min_input_size) == (300, 300)
    assert spec.checkpoint.of_backbone
    assert spec.checkpoint.archive == spec.checkpoint.name
    from tf_keras.src.applications import resnet, vgg16

    known = {
        "vgg16": (vgg16.WEIGHTS_PATH, None),
        "resnet50": (
            f"{resnet.BASE_WEIGHTS_PATH}resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
            resnet.WEIGHTS_HASHES["resnet50"][1],
        ),
    }
    url, md5 = known[network]
    assert spec.checkpoint.url == url
    assert spec.checkpoint.md5 == (md5 or "64373286793e3c8b2b4e3219cbf3544b")  # Keras has it inside a function


def test_every_field_has_its_declared_type(models: registry.Registry) -> None:
    def check(value: object, kind: object, where: str) -> None:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Literal:
            assert value in arguments, where
        elif origin is tuple:
            assert type(value) is tuple, where
            for item in value:
                check(item, arguments[0], where)
        elif origin is dict:
            assert type(value) is dict, where
            for item in value.values():
                check(item, arguments[1], where)
        elif arguments:
            assert type(value) in arguments, f"{where}: {value!r} is no {kind}"
        else:
            assert type(value) is kind, f"{where}: {value!r} is no {kind}"
        if dataclasses.is_dataclass(value):
            for name, hint in typing.get_type_hints(type(value)).items():
                check(getattr(value, name), hint, f"{where}.{name}")

    for spec in models:
        check(spec, registry.ModelSpec, spec.model_id)


def test_every_recipe_is_made_of_hyperparameters(models: registry.Registry) -> None:
    for spec in zoo_models(models):
        resolved = hyperparameters.resolve({}, recipe=spec.defaults)
        assert resolved.epochs == spec.defaults["epochs"] > 0, spec.model_id


def test_families_differ_where_their_checkpoints_do(models: registry.Registry) -> None:
    for spec in zoo_models(models):
        efficientdet = spec.architecture.startswith("efficientdet")
        structure = spec.structure
        assert spec.resizer == ("keep_aspect_ratio" if efficientdet else "fixed")
        assert structure.box_coder_scales == ((1.0,) * 4 if efficientdet else (10.0, 10.0, 5.0, 5.0))
        assert (structure.focal_gamma, structure.nms_iou) == ((1.5, 0.5) if efficientdet else (2.0, 0.6))
        momentum = 0.99 if efficientdet else 0.97 if spec.architecture == "ssd_mobilenet_v2" else 0.997
        assert structure.batch_norm_momentum == momentum
        assert structure.l2 == (2e-4 if "resnet" in spec.architecture else 2e-5)


def test_the_coco_label_map_has_80_names_in_90_slots(models: registry.Registry) -> None:
    names = models.get(FPNLITE_320).class_names
    assert len([name for name in names if name]) == len({name for name in names if name}) == 80
    holes = [number for number, name in enumerate(names, start=1) if name is None]
    assert holes == [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
    assert (names[0], names[16], names[89]) == ("person", "cat", "toothbrush")


def test_the_demo_model_comes_with_the_package(models: registry.Registry) -> None:
    spec = models.get(DEMO)
    assert spec.class_names == shapes.SOURCE_CLASSES
    assert (spec.checkpoint.path, spec.checkpoint.url, spec.coco_map) == ("demo/checkpoint", None, None)
    assert (spec.structure.depth_multiplier, spec.structure.feature_depth) == (0.35, 64)


def test_a_typing_error_is_answered_with_the_nearest_id(models: registry.Registry) -> None:
    with pytest.raises(errors.RegistryError, match=f"Did you mean '{FPNLITE_320}'"):
        models.get(FPNLITE_320.replace("fpnlite", "fpn-lite"))
    with pytest.raises(errors.RegistryError, match="models` lists them all"):
        models.get("yolo")


# EfficientNet's layers above the last tap come with the checkpoint, and no detector runs them.
EFFICIENTNET_TOP = "model/_feature_extractor/classification_backbone/"
# architecture: how many blocks of the last stage are among them
EFFICIENTNET_TOP_BLOCKS = {f"efficientdet_d{d}": blocks for d, blocks in enumerate((0, 1, 1, 1, 1, 2, 2, 2))}
WITHOUT_KEY_LIST = ("efficientdet_d5", "efficientdet_d6", "efficientdet_d7")


def floats_above_the_last_tap(channels: int, blocks: int) -> int:
    """Those of an EfficientNet's last blocks and of its classifier of ImageNet's 1000 classes."""
    inner, squeezed, top = 6 * channels, channels // 4, 4 * channels
    convolutions = channels * inner + 3 * 3 * inner + inner * channels
    excitation = inner * squeezed + squeezed + squeezed * inner + inner
    batch_norms = 4 * (inner + inner + channels)
    return blocks * (convolutions + excitation + batch_norms) + channels * top + 4 * top + top * 1000 + 1000


@pytest.mark.golden  # a minute for all of them
@pytest.mark.parametrize("spec", zoo_models(registry.load_registry()), ids=lambda spec: spec.model_id)
def test_every_model_has_exactly_the_variables_of_its_checkpoint(
    spec: registry.ModelSpec, shared: Callable[[str], pathlib.Path]
) -> None:
    from tfod_transfer.modeling import detector

    built = detector.build_detector(spec, spec.num_classes)
    found = {key: list(variable.shape) for key, variable in built.checkpoint_variables().items()}
    assert len(found) == len(built.variables)
    if spec.checkpoint.path:
        assert sum(math.prod(shape) for shape in found.values()) == spec.parameters
        return
    efficientdet = spec.architecture in EFFICIENTNET_TOP_BLOCKS
    if efficientdet:
        blocks, channels = EFFICIENTNET_TOP_BLOCKS[spec.architecture], built.backbone.output_channels[-1]
        floats = sum(math.prod(shape) for shape in found.values())
        assert floats + floats_above_the_last_tap(channels, blocks) == spec.parameters
    file = shared("zoo/keys") / f"{spec.checkpoint.name}.json"
    assert file.exists() == (spec.architecture not in WITHOUT_KEY_LIST)
    if not file.exists():
        return
    expected = {each["key"]: each["shape"] for each in json.loads(file.read_text()) if each["key"].startswith("model/")}
    top = {key for key in expected if key.startswith(EFFICIENTNET_TOP)} if efficientdet else set()
    assert found == {key: shape for key, shape in expected.items() if key not in top}
    assert sum(math.prod(shape) for shape in expected.values()) == spec.parameters


# what is wrong: (path into the document, new value (None removes), words of the error)
BROKEN = {
    "unknown key": (("models", FPNLITE_320, "inputsize"), 320, "unknown key 'inputsize'. Did you mean 'input_size'?"),
    "unknown key in structure": (("models", FPNLITE_320, "structure"), {"head_conv": 3}, "Did you mean 'head_convs'?"),
    "unknown key in checkpoint": (("models", FPNLITE_320, "checkpoint"), {"uri": "http://x"}, "Did you mean 'url'?"),
    "text for a number": (("models", FPNLITE_320, "structure"), {"l2": "2e-5"}, "Expected `float`, got `str`"),
    "missing number": (("models", FPNLITE_320, "parameters"), None, "missing required field `parameters`"),
    "no such resizer": (("architectures", "ssd_mobilenet_v2_fpnlite", "resizer"), "stretch", "Invalid enum value"),
    "no such architecture": (("models", FPNLITE_320, "architecture"), "yolo", "'yolo' is missing, or not defined"),
    "no such label map": (("models", FPNLITE_320, "label_map"), "lvis", "'lvis' is missing, or not defined"),
    "no label map": (("models", FPNLITE_320, "label_map"), None, "'label_map' is missing"),
    "no checkpoint": (("models", FPNLITE_320, "checkpoint"), None, "'checkpoint' is missing"),
    "unknown key of a SavedModel": (
        ("saved_models", FINISHED, "uri"),
        "http://x",
        "unknown key 'uri'. Did you mean 'url'?",
    ),
    "nothing near": (
        ("saved_models", FINISHED, "nearest"),
        "yolo",
        "nearest must be the model_id of a model that can be",
    ),
    "no label map of a SavedModel": (("saved_models", FINISHED, "label_map"), None, "'label_map' is missing"),
    "text for a flag": (("saved_models", FINISHED, "keypoints"), "no", "Expected `bool`, got `str`"),
    "no models": (("models",), None, "must map label_maps, architectures, models and saved_models"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_registry_is_refused(case: str, tmp_path: pathlib.Path) -> None:
    keys, value, words = BROKEN[case]
    document = yaml.safe_load(registry.REGISTRY_FILE.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(errors.RegistryError, match=re.escape(words)):
        registry.load_registry(path)


def test_a_registry_that_is_no_yaml_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text("models: {a: [}")
    with pytest.raises(errors.RegistryError, match="is not valid YAML"):
        registry.load_registry(path)


def test_loading_imports_neither_tensorflow_nor_numpy() -> None:
    code = "import sys; from tfod_transfer import registry; registry.load_registry(); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "numpy", "tf_keras"} & set(modules)


def test_the_package_carries_the_registry_of_the_repository() -> None:
    root = pathlib.Path(__file__).resolve().parent.parent
    assert registry.REGISTRY_FILE.resolve() == root / "model_registry.yaml"
