"""An artifact in SageMaker's TensorFlow Serving container, asked as the notebooks of its users ask."""

from __future__ import annotations

import base64
import io
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import hosting
import numpy as np
import pytest
from PIL import Image
from running import Done

from tfod_transfer.demo import shapes
from tfod_transfer.serving.loaded import LoadedDetector

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def artifact_folder(fitted: tuple[pathlib.Path, Done]) -> pathlib.Path:
    return fitted[0]


@pytest.fixture(scope="module")
def port(artifact_folder: pathlib.Path) -> Iterator[int]:
    """TensorFlow Serving with the model under the name that the container gives it, and under another."""
    with hosting.tensorflow_serving({"model": artifact_folder, "other": artifact_folder}) as port:
        yield port


@pytest.fixture(scope="module")
def container(artifact_folder: pathlib.Path, port: int) -> hosting.Container:
    return hosting.Container(artifact_folder / "code" / "inference.py", port)


@pytest.fixture(scope="module")
def photograph(drawn: pathlib.Path) -> pathlib.Path:
    return min((drawn / "validation" / "images").iterdir())


# What the notebooks do: an image's bytes and the best few, verbosely; then the parts of the answer, and class names.
def query(predictor: hosting.Predictor, image: bytes, n_predictions: int) -> bytes:
    arguments = {
        "ContentType": "application/x-image",
        "Accept": f"application/json;verbose;n_predictions={n_predictions}",
    }
    return predictor.predict(image, arguments)


def parse_response(response: bytes) -> tuple[list[list[float]], list[str], list[float]]:
    predictions = json.loads(response)
    boxes, classes = predictions["normalized_boxes"], predictions["classes"]
    names = [predictions["labels"][int(index)] for index in classes]
    return boxes, names, predictions["scores"]


def test_the_notebooks_functions_find_what_the_model_finds(
    container: hosting.Container, artifact_folder: pathlib.Path, photograph: pathlib.Path
) -> None:
    contents = photograph.read_bytes()
    boxes, names, scores = parse_response(query(hosting.Predictor(container), contents, 5))
    found = LoadedDetector(artifact_folder / "1")([contents])
    np.testing.assert_allclose(scores, found.scores[0, :5], rtol=1e-6)
    np.testing.assert_allclose(boxes, found.boxes[0, :5][:, [1, 0, 3, 2]], rtol=1e-6)
    assert names == [shapes.TARGET_CLASSES[index] for index in found.classes[0, :5]]
    assert scores == sorted(scores, reverse=True)
    for left, bot, right, top in boxes:  # the names that the notebooks draw with
        assert 0 <= left < right <= 1
        assert 0 <= bot < top <= 1


def test_a_verbose_answer_holds_the_raw_output(container: hosting.Container, photograph: pathlib.Path) -> None:
    headers = {"Content-Type": "image/png; charset=binary", "Accept": "APPLICATION/JSON; Verbose"}
    status, kind, body = container.invoke(photograph.read_bytes(), headers)
    assert (status, kind) == (200, "application/json")
    told = json.loads(body)
    assert told["labels"] == ["N/A", *shapes.TARGET_CLASSES]
    (raw,) = told["tensorflow_model_output"]["predictions"]
    count = int(raw["num_detections"])
    assert count == len(told["scores"]) == sum(score > 0 for score in raw["detection_scores"])
    assert np.asarray(raw["detection_boxes"])[:count, [1, 0, 3, 2]].tolist() == told["normalized_boxes"]


@pytest.mark.parametrize("accept", ["*/*", "application/x-image", "", "text/csv", "application/json"])
def test_odd_wishes_get_json(container: hosting.Container, photograph: pathlib.Path, accept: str) -> None:
    headers = {"Content-Type": "application/x-image", "Accept": accept}
    status, kind, body = container.invoke(photograph.read_bytes(), headers)
    assert (status, kind) == (200, "application/json")
    assert set(json.loads(body)) == {"normalized_boxes", "classes", "scores"}


def test_a_photograph_is_turned_upright(container: hosting.Container, photograph: pathlib.Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright, lying = io.BytesIO(), io.BytesIO()
    with Image.open(photograph) as image:
        image.convert("RGB").save(upright, "PNG")
        image.convert("RGB").rotate(90, expand=True).save(lying, "JPEG", quality=100, subsampling=0, exif=exif)
    boxes = [
        json.loads(container.invoke(file.getvalue(), {"Content-Type": "application/x-image"}).body)["normalized_boxes"]
        for file in (upright, lying)
    ]
    np.testing.assert_allclose(boxes[0][0], boxes[1][0], atol=0.05)


def test_other_models_of_the_endpoint_are_asked_by_name(container: hosting.Container, photograph: pathlib.Path) -> None:
    image = {"Content-Type": "application/x-image"}
    contents = photograph.read_bytes()

    def with_attributes(text: str) -> hosting.Answer:
        return container.invoke(contents, {**image, "X-Amzn-SageMaker-Custom-Attributes": text})

    expected = container.invoke(contents, image)
    assert with_attributes("tfs-model-name=other") == expected
    assert with_attributes("c000-trace,tfs-model-name=other,tfs-model-version=1") == expected
    assert container.invoke(contents, image, model_name="other") == expected
    absent = with_attributes("tfs-model-name=absent")
    assert (absent.status, json.loads(absent.body)) == (
        500,
        {"error": "TensorFlow Serving answers 404: Servable not found for request: Latest(absent)"},
    )


def test_tensorflow_servings_own_form_takes_several_images(
    container: hosting.Container, photograph: pathlib.Path, drawn: pathlib.Path
) -> None:
    files = [photograph, max((drawn / "training" / "images").iterdir())]
    encoded = [{"b64": base64.b64encode(file.read_bytes()).decode()} for file in files]
    for instances in ([{"image_bytes": each} for each in encoded], encoded):
        status, kind, body = container.invoke(json.dumps({"instances": instances}).encode(), {})
        assert (status, kind) == (200, "application/json")
        rows: list[dict[str, Any]] = json.loads(body)["predictions"]
        assert len(rows) == 2
        for file, row in zip(files, rows, strict=True):
            one = json.loads(container.invoke(file.read_bytes(), {"Content-Type": "application/x-image"}).body)
            count = len(one["scores"])
            np.testing.assert_allclose(row["normalized_boxes"][:count], one["normalized_boxes"], atol=1e-5)


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        pytest.param(b"x", "text/csv", "the Content-Type 'text/csv' is not known here", id="type"),
        pytest.param(b"", "image/jpeg", "the request is empty", id="empty"),
        pytest.param(b"GIF89a", "application/x-image", "this GIF image does not decode", id="no image"),
        pytest.param(b"\xff\xd8\xff\xe0 broken", "image/jpeg", "this JPEG image is damaged or incomplete", id="broken"),
        pytest.param(
            b'{"instances": [{"image": 1}]}', "application/json", "keys must be equal to: image_bytes", id="x"
        ),
    ],
)
def test_what_cannot_be_answered_is_said(
    container: hosting.Container, body: bytes, content_type: str, said: str
) -> None:
    answer = container.invoke(body, {"Content-Type": content_type})
    assert answer.status == 500
    message = json.loads(answer.body)["error"]
    assert said in message
