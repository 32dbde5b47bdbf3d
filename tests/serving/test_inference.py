"""Requests and answers as SageMaker's TensorFlow Serving container passes them, in this Python and in a bare one."""

from __future__ import annotations

import ast
import base64
import copy
import io
import json
import pathlib
import subprocess
import sys
import types

import pytest

from tfod_transfer.serving import inference
from tfod_transfer.serving.inference import AnswerOptions

JSON = "application/json"
ROW = {
    "normalized_boxes": [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.9, 0.0, 1.0, 0.1], [0.0, 0.0, 0.0, 0.0]],
    "classes": [2.0, 1.0, 2.0, 1.0],
    "scores": [0.5, 0.9, 1e-8, 0.0],
    "labels": ["N/A", "7", "cat"],
    "status": "",
}


@pytest.mark.parametrize(
    ("accept", "verbose", "n_predictions", "content_type"),
    [
        # the contract's own
        pytest.param("application/json;verbose;n_predictions=5", True, 5, "application/json;", id="both"),
        pytest.param(
            "application/json;n_predictions=5;verbose", True, 5, "application/json;", id="the other way round"
        ),
        pytest.param("application/json;verbose", True, None, JSON, id="verbose"),
        pytest.param("application/json;n_predictions=12", False, 12, "application/json;", id="n_predictions"),
        pytest.param("application/json", False, None, JSON, id="plain"),
        # odd ones
        pytest.param("*/*", False, None, JSON, id="anything"),
        pytest.param("*/*;verbose;n_predictions=3", True, 3, JSON, id="anything, with wishes"),
        pytest.param("application/x-image", False, None, JSON, id="an image, as batch transform asks"),
        pytest.param("APPLICATION/JSON;VERBOSE;N_PREDICTIONS=2", True, 2, "application/json;", id="upper case"),
        pytest.param("application/json; verbose ; n_predictions = 2", True, 2, "application/json;", id="blanks"),
        pytest.param("application/json;charset=utf-8;verbose", True, None, "application/json;charset=utf-8", id="more"),
        pytest.param("application/json;q=0.9, */*;q=0.1", False, None, JSON, id="with qualities"),
        pytest.param("text/html,application/xhtml+xml;q=0.9", False, None, JSON, id="a browser's"),
        pytest.param("application/jsonlines", False, None, JSON, id="lines"),
        pytest.param(
            "application/json;n_predictions=all", False, None, "application/json;n_predictions=all", id="word"
        ),
        pytest.param("application/json;n_predictions=0", False, 0, "application/json;", id="none of them"),
        pytest.param("application/json;verbosely", False, None, "application/json;verbosely", id="another word"),
        pytest.param("", False, None, JSON, id="empty"),
        pytest.param(None, False, None, JSON, id="missing"),
    ],
)
def test_accept(accept: str | None, verbose: bool, n_predictions: int | None, content_type: str) -> None:
    assert inference.parse_accept(accept) == AnswerOptions(verbose, n_predictions, content_type)


@pytest.mark.parametrize(
    ("accept", "annotation"),
    [
        ("application/json;annotation=1", True),
        ("application/json; Annotation = 1", True),
        ("application/json;annotation=0", False),
        ("application/json", False),
        ("*/*", False),
    ],
)
def test_annotations_can_be_asked_for(accept: str, annotation: bool) -> None:
    assert inference.parse_accept(accept).annotation == annotation


@pytest.mark.parametrize(
    ("options", "count"),
    [
        pytest.param(AnswerOptions(), 2, id="all that have a score worth telling"),
        pytest.param(AnswerOptions(n_predictions=1), 1, id="the best"),
    ],
)
def test_a_prediction_has_rows_best_first_and_classes_from_0(options: AnswerOptions, count: int) -> None:
    told = inference.answer_of(inference.SSD, ROW, options)
    assert told == {"prediction": [[0.0, 0.9, 0.5, 0.6, 0.7, 0.8], [1.0, 0.5, 0.1, 0.2, 0.3, 0.4]][:count]}


def test_annotations_are_in_pixels() -> None:
    told = inference.answer_of(inference.SSD, {**ROW, "image_size": [100, 200]}, AnswerOptions(annotation=True))
    assert told == {
        "image_size": [{"width": 200, "height": 100, "depth": 3}],
        "annotations": [
            {"class_id": 0, "score": 0.9, "left": 100, "top": 60, "width": 40, "height": 20},
            {"class_id": 1, "score": 0.5, "left": 20, "top": 20, "width": 40, "height": 20},
        ],
    }


def test_a_prediction_of_a_bad_image_is_an_error_of_its_own() -> None:
    with pytest.raises(inference.BadImageError, match=r"^no JPEG$"):
        inference.prediction({**ROW, "status": "no JPEG"}, AnswerOptions())


def test_of_other_algorithms_the_form_stays() -> None:
    for algorithm in ("object-detection-tensorflow", ""):
        assert inference.answer_of(algorithm, ROW, AnswerOptions()) == inference.answer(ROW, AnswerOptions())


@pytest.mark.parametrize(
    ("n_predictions", "scores"),
    [
        pytest.param(None, [0.9, 0.5, 1e-8], id="all but padding"),
        pytest.param(2, [0.9, 0.5], id="the best"),
        pytest.param(50, [0.9, 0.5, 1e-8], id="more than there are"),
        pytest.param(0, [], id="none"),
    ],
)
def test_an_answer_is_sorted_and_without_padding(n_predictions: int | None, scores: list[float]) -> None:
    row = copy.deepcopy(ROW)
    told = inference.answer(row, AnswerOptions(n_predictions=n_predictions))
    assert row == ROW
    assert told == {
        "normalized_boxes": [[0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.4], [0.9, 0.0, 1.0, 0.1]][: len(scores)],
        "classes": [1.0, 2.0, 2.0][: len(scores)],
        "scores": scores,
    }


def test_a_verbose_answer_has_the_labels_and_all_rows_with_y_first() -> None:
    told = inference.answer(ROW, AnswerOptions(verbose=True, n_predictions=1))
    assert told["scores"] == [0.9]
    assert told["labels"] == ["N/A", "7", "cat"]
    assert told["tensorflow_model_output"] == {
        "predictions": [
            {
                "detection_boxes": [[0.2, 0.1, 0.4, 0.3], [0.6, 0.5, 0.8, 0.7], [0.0, 0.9, 0.1, 1.0], [0.0] * 4],
                "detection_classes": ROW["classes"],
                "detection_scores": ROW["scores"],
                "num_detections": 3.0,
            }
        ]
    }


def test_a_bad_image_is_an_error_of_its_own() -> None:
    with pytest.raises(inference.BadImageError, match=r"^no JPEG$"):
        inference.answer({**ROW, "status": "no JPEG"}, AnswerOptions())


def context(content_type: str = JSON, accept: str = JSON) -> types.SimpleNamespace:
    return types.SimpleNamespace(request_content_type=content_type, accept_header=accept)


@pytest.mark.parametrize("content_type", [*inference.IMAGE_CONTENT_TYPES, "IMAGE/JPEG", "image/png; charset=binary"])
def test_an_image_is_sent_as_bytes(content_type: str) -> None:
    sent = json.loads(inference.input_handler(io.BytesIO(b"\xff\xd8image"), context(content_type)))
    assert sent["signature_name"] == "serving_default"
    assert [base64.b64decode(instance["image_bytes"]["b64"]) for instance in sent["instances"]] == [b"\xff\xd8image"]


@pytest.mark.parametrize("key", ["instances", "inputs", "examples"])
def test_tensorflow_servings_own_form_is_passed_through(key: str) -> None:
    body = json.dumps({key: [1], "signature_name": "other"}, indent=1)
    assert inference.input_handler(io.BytesIO(body.encode()), context("application/json; charset=UTF-8")) == body


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        pytest.param(b"x", "text/csv", "the Content-Type 'text/csv' is not known here; send the bytes of one image as "
                     "application/x-image or image/jpeg or image/png, or", id="type"),
        pytest.param(b"", "image/jpeg", "the request is empty; send the bytes of one image", id="empty"),
        pytest.param(b"\xff\xd8image", JSON, "says that it is application/json and is not .* send the bytes of "
                     "an image as application/x-image", id="image as JSON"),
        pytest.param(b"", JSON, "says that it is application/json and is not", id="empty JSON"),
        pytest.param(b'{"image": "x"}', JSON, 'expected {"instances"', id="JSON of another form"),
        pytest.param(b"[[1, 2]]", JSON, 'expected {"instances"', id="pixels"),
    ],
)  # fmt: skip
def test_other_requests_are_refused_in_a_sentence(body: bytes, content_type: str, message: str) -> None:
    with pytest.raises(inference.RequestError, match=message) as caught:
        inference.input_handler(io.BytesIO(body), context(content_type))
    assert "\n" not in str(caught.value)


def reply(status: int, content: object) -> types.SimpleNamespace:
    text = content if isinstance(content, str) else json.dumps(content)
    return types.SimpleNamespace(status_code=status, content=text.encode())


def test_a_reply_becomes_the_answer() -> None:
    text, kind = inference.output_handler(
        reply(200, {"predictions": [ROW]}), context("image/png", "application/json;verbose;n_predictions=1")
    )
    assert kind == "application/json;"
    assert json.loads(text) == inference.answer(ROW, AnswerOptions(verbose=True, n_predictions=1))


def test_the_reply_to_tensorflow_servings_own_form_is_passed_on() -> None:
    content = json.dumps({"predictions": [1, 2]}, indent=3)
    assert inference.output_handler(reply(200, content), context(accept="*/*")) == (content, JSON)


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        pytest.param(404, {"error": "Servable not found: x"}, "Serving answers 404: Servable not found: x$", id="JSON"),
        pytest.param(502, "<html>gone", "Serving answers 502: <html>gone$", id="another form"),
        pytest.param(500, ["a"], r'Serving answers 500: \["a"\]$', id="JSON of another form"),
        pytest.param(200, {"predictions": [0.5]}, "does not answer as an exported detector", id="another model"),
        pytest.param(200, {"outputs": {}}, "does not answer as an exported detector", id="columns"),
        pytest.param(200, {"predictions": [{**ROW, "status": "no JPEG"}]}, "^no JPEG$", id="bad image"),
    ],
)
def test_errors_are_told_in_a_sentence(status: int, content: object, message: str) -> None:
    with pytest.raises(inference.RequestError, match=message):
        inference.output_handler(reply(status, content), context("image/jpeg"))


@pytest.fixture
def copied(tmp_path: pathlib.Path) -> pathlib.Path:
    """The file where an artifact has it."""
    path = tmp_path / "code" / "inference.py"
    path.parent.mkdir()
    path.write_bytes(pathlib.Path(inference.__file__).read_bytes())
    return path


def test_it_keeps_to_an_old_python(copied: pathlib.Path) -> None:
    tree = ast.parse(copied.read_text(), feature_version=(3, 8))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert "__future__" in imported  # annotations are then text, which may be of a newer Python
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


# As the container loads it: by path, without an entry in sys.modules; no site-packages, nothing of this repository.
ALONE = """
import importlib.util, io, json, sys, types
spec = importlib.util.spec_from_file_location("inference", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert not hasattr(module, "handler")
context = types.SimpleNamespace(request_content_type="image/png", accept_header="application/json;verbose")
sent = module.input_handler(io.BytesIO(b"x"), context)
reply = types.SimpleNamespace(status_code=200, content=json.dumps({"predictions": [json.loads(sys.argv[2])]}).encode())
print(json.dumps([sent, *module.output_handler(reply, context)]))
"""


@pytest.mark.parametrize(
    ("labels_file", "labels"),
    [
        pytest.param({"labels": ["N/A", 7, "cat"]}, ["N/A", 7, "cat"], id="of the artifact: integers stay integers"),
        pytest.param({"labels": ["N/A", "dog"]}, ["N/A", "7", "cat"], id="of another model"),
        pytest.param({}, ["N/A", "7", "cat"], id="without a list"),
        pytest.param(None, ["N/A", "7", "cat"], id="not there"),
    ],
)
def test_it_runs_alone(copied: pathlib.Path, labels_file: object, labels: list[object]) -> None:
    if labels_file is not None:
        (copied.parent.parent / "labels_info.json").write_text(json.dumps(labels_file))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, str(copied), json.dumps(ROW)],
        cwd=copied.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sent, text, kind = json.loads(done.stdout)
    assert sent == inference.input_handler(io.BytesIO(b"x"), context("image/png"))
    assert json.loads(text) == inference.answer(ROW, AnswerOptions(verbose=True), labels)  # type: ignore[arg-type]
    assert kind == JSON
