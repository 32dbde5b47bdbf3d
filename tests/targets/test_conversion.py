"""A thin detector as TensorFlow Lite and ONNX models, run in their own runtimes."""

from __future__ import annotations

import collections
import copy
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf2onnx
from PIL import Image
from small_backbone import DEMO, build_small, thin_spec
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tfod_transfer import artifact, errors
from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.modeling.detector import Detector
from tfod_transfer.modeling.layers import Convolution, LayerSettings
from tfod_transfer.targets import calibration, metadata, onnx_model, portable, runners, tflite_model
from tfod_transfer.targets.options import MODEL_FILES, TargetOptions

INFO = artifact.ModelInfo(DEMO, 64, True, ("cat", "dog"), (1, 2), detection=DetectionOptions(20, 1e-3))
CONVERTERS = {"tflite": tflite_model.convert, "onnx": onnx_model.convert}
KINDS = [(target_format, kind) for target_format in CONVERTERS for kind in (None, "float16", "dynamic", "int8")]
IMAGES = [np.random.default_rng(seed).integers(0, 256, (1, 48 + seed, 80, 3)).astype(np.uint8) for seed in range(3)]


def scattered(detector: Detector) -> Detector:
    """Gives each variable values that matter, so that boxes and scores differ from anchor to anchor."""
    rng = np.random.default_rng(0)
    # XNNPACK, TensorFlow Lite's delegate, computes a SAME convolution of 3 x 3 whose stride is 8 wrongly.
    settings = LayerSettings(0.9, True, detector.execution, 0)
    detector.backbone.convolutions[0] = Convolution("first", "dense", 3, 8, settings, kernel_size=8, strides=8)
    for key, variable in sorted(detector.checkpoint_variables().items()):
        if "kernel" in key:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return detector


@pytest.fixture(scope="module")
def function() -> Any:
    return portable.portable_function(scattered(build_small(thin_spec())), INFO.detection)


@pytest.fixture(scope="module")
def models(function: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str | None], metadata.Target]:
    """Each format with each quantisation, in a folder of its own."""
    made = {}
    # Most of the time goes into tf2onnx, which makes the same of the same.
    converted = tf2onnx.convert.from_function(function, function.input_signature, onnx_model.OPSET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf2onnx.convert, "from_function", lambda *args, **given: copy.deepcopy(converted))
        for target_format, kind in KINDS:
            folder = tmp_path_factory.mktemp(f"{target_format}-{kind}")
            made[target_format, kind] = written(folder, function, target_format, kind)
    return made


def written(folder: pathlib.Path, function: Any, target_format: str, kind: str | None) -> metadata.Target:
    """Converts, and writes what there is to write."""
    options = TargetOptions(target_format, kind, calibration="here" if kind == "int8" else None)
    images = (lambda: iter(IMAGES)) if kind == "int8" else None
    description = metadata.describe(INFO, thin_spec(), options)
    content = CONVERTERS[target_format](function, kind, images, description)
    (folder / MODEL_FILES[target_format]).write_bytes(content)
    metadata.write(folder, description, {})
    return metadata.load(folder)


@pytest.mark.parametrize(("target_format", "kind"), KINDS)
@pytest.mark.parametrize("image", IMAGES[:2], ids=["one size", "another"])
def test_it_answers_as_the_function_does(
    models: Any, function: Any, target_format: str, kind: str | None, image: np.ndarray
) -> None:
    answer = runners.RUNTIMES[target_format](str(models[target_format, kind].model_file))(image)
    expected = {name: value.numpy() for name, value in function(tf.constant(image)).items()}
    assert answer.keys() == expected.keys()
    assert {name: (value.shape, value.dtype) for name, value in answer.items()} == {
        name: (value.shape, value.dtype) for name, value in expected.items()
    }
    tolerance = {None: 1e-4, "float16": 0.01, "dynamic": 0.1, "int8": 0.1}[kind]
    np.testing.assert_allclose(answer["detection_scores"], expected["detection_scores"], atol=tolerance)
    if kind is None:
        np.testing.assert_allclose(answer["detection_boxes"], expected["detection_boxes"], atol=1e-3)
        np.testing.assert_array_equal(answer["detection_classes"], expected["detection_classes"])


@pytest.mark.parametrize(("target_format", "kind"), [("tflite", "float16"), ("tflite", "dynamic"), ("onnx", "float16")])
def test_quantising_makes_it_smaller(models: Any, target_format: str, kind: str) -> None:
    size, exact = (models[target_format, each].model_file.stat().st_size for each in (kind, None))
    assert size < exact


def tflite_graph(target: metadata.Target) -> Any:
    return flatbuffer_utils.read_model(str(target.model_file))


@pytest.mark.parametrize("kind", [None, "float16", "dynamic", "int8"])
def test_tflite_has_builtin_ops_a_first_size_and_its_description(models: Any, kind: str | None) -> None:
    target = models["tflite", kind]
    model = tflite_graph(target)
    assert [code.customCode for code in model.operatorCodes if code.customCode] == []
    interpreter = tf.lite.Interpreter(str(target.model_file))
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 64, 64, 3]
    answer = interpreter.get_signature_runner(tflite_model.SIGNATURE)(image=np.zeros([1, 64, 64, 3], np.uint8))
    assert answer.keys() == metadata.OUTPUTS.keys()
    (place,) = (each.buffer for each in model.metadata if each.name == metadata.KEY.encode())
    assert json.loads(bytes(model.buffers[place].data)) == without_self_test(target)


def test_int8_ends_where_boxes_are_decoded(models: Any) -> None:
    model = tflite_graph(models["tflite", "int8"])
    graph, ops = model.subgraphs[0], collections.defaultdict(set)
    for operator in graph.operators:
        for tensor in (graph.tensors[index] for index in operator.outputs):
            in_integers = tensor.type == schema.TensorType.INT8
            is_network = tensor.name.decode().startswith(portable.NETWORK_SCOPE)
            ops[is_network, in_integers].add(flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex))
    assert not ops[True, False]
    assert {"QUANTIZE"} <= ops[False, True] <= {"QUANTIZE", "STRIDED_SLICE"}  # leaving the background out
    assert {"MUL", "EXP", "NON_MAX_SUPPRESSION_V5"} <= ops[False, False]


def test_onnx_is_valid_and_has_its_description(models: Any) -> None:
    for kind in (None, "float16", "int8"):
        target = models["onnx", kind]
        model = onnx.load(target.model_file)
        onnx.checker.check_model(model, full_check=True)
        assert {each.domain for each in model.opset_import} <= {"", "ai.onnx.ml"}
        properties = {each.key: each.value for each in model.metadata_props}
        assert json.loads(properties[metadata.KEY]) == without_self_test(target)
        assert properties["labels"].splitlines() == ["N/A", "cat", "dog"]


def without_self_test(target: metadata.Target) -> dict[str, Any]:
    record = json.loads((target.folder / metadata.METADATA_FILE).read_text())
    del record["self_test"]
    return record


@pytest.mark.parametrize("target_format", CONVERTERS)
def test_image_files_are_detected_or_named(models: Any, target_format: str, tmp_path: pathlib.Path) -> None:
    target = models[target_format, None]
    path, broken = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(IMAGES[0][0]).save(path)
    broken.write_bytes(path.read_bytes()[:-200])
    (found,) = runners.load(target).detect_files([str(path)])
    assert found.boxes.shape == (1, 20, 4)
    assert set(found.classes[0]) == {0, 1}
    with pytest.raises(errors.DataError, match=r"b\.png"):
        list(runners.load(target).detect_files([str(path), str(broken)]))
    few = dataclasses.replace(target, info=dataclasses.replace(INFO, max_pixels=100))
    with pytest.raises(errors.DataError, match=r"a\.png: .*pixels"):
        list(runners.load(few).detect_files([str(path)]))


def test_an_image_that_cannot_be_calibrated_on_is_named(function: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    description = metadata.describe(INFO, thin_spec(), TargetOptions("tflite", "int8", calibration="here"))
    with pytest.raises(errors.DataError, match=r"text\.jpg: this is no image file"):
        tflite_model.convert(function, "int8", lambda: calibration.pixels([str(tmp_path / "text.jpg")]), description)


@pytest.mark.parametrize("target_format", CONVERTERS)
def test_what_cannot_be_converted_is_one_sentence(target_format: str) -> None:
    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="image")])
    def function(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict.fromkeys(metadata.OUTPUTS, tf.raw_ops.Betainc(a=1.0, b=2.0, x=tf.cast(image, tf.float32) / 255))

    with pytest.raises(errors.ArtifactError, match=r"cannot (convert this model|be converted)") as raised:
        CONVERTERS[target_format](function, None, None, {"labels": []})
    assert "\n" not in str(raised.value)
