"""Every route: what it answers, and the status and sentence of what it refuses."""

from __future__ import annotations

import base64
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_model import SECONDS, FakeModel, encoded, serving
from starlette.testclient import TestClient

from tfod_transfer.serving.server.batching import Batcher, Image
from tfod_transfer.serving.server.settings import Settings

SETTINGS = Settings(
    model_name="cats", max_batch_size=2, batch_delay=0.0, queue_limit=3, max_body_bytes=5000, max_pixels=1000
)
IMAGE = encoded()
JPEG = {"Content-Type": "image/jpeg"}
PREDICT = "/v1/models/cats:predict"


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def client(model: FakeModel) -> Iterator[TestClient]:
    with serving(model, SETTINGS) as (client, _):
        wait_until_ready(client)
        yield client


def wait_until_ready(client: TestClient) -> None:
    while client.get("/ping").status_code != 200:
        pass


def rows(*images: bytes) -> dict[str, Any]:
    return {"instances": [{"image_bytes": {"b64": base64.b64encode(image).decode()}} for image in images]}


@pytest.mark.parametrize("kind", ["application/x-image", "image/jpeg", "image/png", "IMAGE/PNG; q=1"])
def test_an_image_is_answered_in_sagemakers_form(client: TestClient, model: FakeModel, kind: str) -> None:
    response = client.post("/invocations", content=IMAGE, headers={"Content-Type": kind})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    row = model.row(IMAGE)
    assert response.json() == {
        "normalized_boxes": [row["normalized_boxes"][1], row["normalized_boxes"][0]],
        "classes": [2.0, 1.0],
        "scores": [0.75, 0.5],
    }


def test_verbose_answers_tell_labels_as_the_artifact_has_them(client: TestClient) -> None:
    accept = {"Accept": "application/json;verbose;n_predictions=1", **JPEG}
    response = client.post("/invocations", content=IMAGE, headers=accept)
    assert response.headers["content-type"] == "application/json;"
    answer = response.json()
    assert [answer["labels"][int(index)] for index in answer["classes"]] == [7]
    assert answer["tensorflow_model_output"]["predictions"][0]["detection_scores"] == [0.5, 0.75, 0.0]


def test_a_model_of_object_detection_answers_in_its_own_form(model: FakeModel) -> None:
    with serving(model, SETTINGS, algorithm="object-detection") as (client, _):
        wait_until_ready(client)
        answer = client.post("/invocations", content=IMAGE, headers=JPEG)
        accept = {"Accept": "application/json;annotation=1", **JPEG}
        annotations = client.post("/invocations", content=IMAGE, headers=accept).json()
    assert answer.headers["content-type"] == "application/json"
    assert [row[:2] for row in answer.json()["prediction"]] == [[1.0, 0.75], [0.0, 0.5]]
    assert annotations["image_size"] == [{"width": 200, "height": 80, "depth": 3}]
    assert annotations["annotations"][1] == {
        "class_id": 0, "score": 0.5, "left": 100, "top": 40, "width": 50, "height": 20,
    }  # fmt: skip


@pytest.mark.parametrize("path", [PREDICT, "/v1/models/cats/versions/1:predict", "/invocations"])
def test_several_images_are_answered_in_tf_servings_form(client: TestClient, model: FakeModel, path: str) -> None:
    other = encoded(8, 8)
    response = client.post(path, json=rows(IMAGE, other))
    assert response.json() == {"predictions": [model.row(IMAGE), model.row(other)]}
    columns = {"inputs": [row["image_bytes"] for row in rows(IMAGE, other)["instances"]]}
    outputs = client.post(path, json=columns).json()["outputs"]
    assert outputs["scores"] == [[0.5, 0.75, 0.0]] * 2
    assert set(outputs) == {"normalized_boxes", "classes", "scores", "labels", "image_size", "status"}


def test_bad_images_answer_for_themselves(client: TestClient, model: FakeModel) -> None:
    broken = encoded(9, 9)
    model.broken.add(broken)
    answers = client.post(PREDICT, json=rows(b"nothing", IMAGE, broken)).json()["predictions"]
    assert [answer["status"] for answer in answers] == [
        "this is no image file: it starts with b'nothing'",
        "",
        "this image does not decode",
    ]
    assert answers[1] == model.row(IMAGE)
    assert answers[0]["scores"] == answers[2]["scores"] == [0.0] * 3
    assert client.post(PREDICT, json=rows(encoded(100, 100))).json()["predictions"][0]["status"].startswith("100 x 100")


@pytest.mark.parametrize(
    ("content", "headers", "status", "sentence"),
    [
        pytest.param(IMAGE, {}, 415, "found none", id="no type"),
        pytest.param(IMAGE, {"Content-Type": "text/csv"}, 415, "found text/csv", id="another type"),
        pytest.param(b"", JPEG, 400, "the file is empty", id="nothing"),
        pytest.param(b"GIF89a", JPEG, 415, "this is a GIF image; convert it to JPEG or PNG", id="another format"),
        pytest.param(b"\xff\xd8\xff\xd9", JPEG, 400, "is damaged", id="a damaged header"),
        pytest.param(encoded(40, 26), JPEG, 413, "40 x 26 is 0 megapixels", id="too many pixels"),
        pytest.param(IMAGE + b"\0" * 5000, JPEG, 413, "5000 are allowed (--max_body_mb)", id="too large"),
        pytest.param(iter([IMAGE] * 100), JPEG, 413, "5000 are allowed", id="too large, in pieces"),
        pytest.param(b"{", {"Content-Type": "application/json"}, 400, "is not JSON", id="not JSON"),
    ],
)
def test_what_is_refused_is_said_in_a_sentence(
    client: TestClient, model: FakeModel, content: Any, headers: dict[str, str], status: int, sentence: str
) -> None:
    response = client.post("/invocations", content=content, headers=headers)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    assert sentence in response.json()["error"]
    assert response.json()["error"].endswith(".")
    assert model.batches == []


def test_an_image_that_the_model_cannot_decode_is_refused(client: TestClient, model: FakeModel) -> None:
    model.broken.add(IMAGE)
    response = client.post("/invocations", content=IMAGE, headers=JPEG)
    assert (response.status_code, response.json()) == (400, {"error": "this image does not decode."})


def test_a_defect_is_said_without_its_details(client: TestClient, model: FakeModel) -> None:
    model.failure = RuntimeError("secret")
    response = client.post("/invocations", content=IMAGE, headers=JPEG)
    assert response.status_code == 500
    assert response.json()["error"].startswith("the server failed at this request (RuntimeError)")
    model.failure = None
    assert client.post("/invocations", content=IMAGE, headers=JPEG).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nothing", 404, "there is no /nothing here"),
        ("GET", "/invocations", 405, "does not take GET"),
        ("GET", PREDICT, 404, "there is no model 'cats:predict' here; this server has 'cats'"),
        ("GET", "/v1/models/dogs", 404, "there is no model 'dogs' here; this server has 'cats'"),
        ("POST", "/v1/models/dogs:predict", 404, "there is no model 'dogs' here"),
        ("GET", "/v1/models/cats/versions/2", 404, "there is no version '2' of 'cats' here"),
        ("POST", "/v1/models/cats/versions/x:predict", 404, "there is no version 'x'"),
        ("DELETE", "/ping", 405, "does not take DELETE"),
    ],
)
def test_other_places_and_methods(client: TestClient, method: str, path: str, status: int, sentence: str) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert sentence in response.json()["error"]


def test_an_image_sent_to_the_json_route_is_told_where_to_go(client: TestClient) -> None:
    response = client.post(PREDICT, content=IMAGE, headers=JPEG)
    assert response.status_code == 415
    assert "/invocations" in response.json()["error"]


def test_more_images_than_may_wait_are_refused(client: TestClient) -> None:
    response = client.post(PREDICT, json=rows(*[IMAGE] * 4))
    assert response.status_code == 413
    assert "4 images in one request, more than 3" in response.json()["error"]


def test_states_of_the_server(client: TestClient) -> None:
    assert client.get("/ping").content == b""
    (state,) = client.get("/v1/models/cats").json()["model_version_status"]
    assert (state["version"], state["state"], state["status"]["error_code"]) == ("1", "AVAILABLE", "OK")
    assert client.get("/v1/models/cats/versions/1").json()["model_version_status"] == [state]


@pytest.mark.parametrize(
    ("megabytes", "parallel"),
    [
        pytest.param(6, 8, id="a batch at once"),
        pytest.param(20, 5, id="100 MB at once"),
        pytest.param(500, 1, id="one"),
    ],
)
def test_batch_transform_is_told_how_to_call(megabytes: int, parallel: int) -> None:
    parameters = Settings(max_batch_size=8, max_body_bytes=megabytes * 2**20).execution_parameters
    expected = {"MaxConcurrentTransforms": parallel, "BatchStrategy": "SINGLE_RECORD"}
    assert parameters == {**expected, "MaxPayloadInMB": min(megabytes, 100)}


def test_the_route_of_batch_transform(client: TestClient) -> None:
    assert client.get("/execution-parameters").json() == SETTINGS.execution_parameters


def test_before_the_model_is_loaded() -> None:
    model, loaded = FakeModel(), threading.Event()

    def load() -> FakeModel:
        assert loaded.wait(SECONDS)
        return model

    with serving(model, SETTINGS, load) as (client, _):
        for response in (
            client.get("/ping"),
            client.post("/invocations", content=IMAGE, headers=JPEG),
            client.post(PREDICT, json=rows(b"no image")),
        ):
            assert response.status_code == 503
            assert "is being loaded" in response.json()["error"]
        assert client.get("/v1/models/cats").json()["model_version_status"][0]["state"] == "LOADING"
        assert "tfod_transfer_ready 0.0" in client.get("/metrics").text
        loaded.set()
        wait_until_ready(client)
        assert client.post("/invocations", content=IMAGE, headers=JPEG).status_code == 200


def fill(model: FakeModel, batcher: Batcher, waiting: int) -> None:
    """Holds the model up, with images that wait."""
    model.free.clear()
    batcher.submit([Image(IMAGE, 1)])
    assert model.entered.acquire(timeout=SECONDS)
    batcher.submit([Image(IMAGE, 1)] * waiting)


def test_a_full_queue_refuses(model: FakeModel) -> None:
    with serving(model, SETTINGS) as (client, batcher):
        wait_until_ready(client)
        fill(model, batcher, 3)
        response = client.post("/invocations", content=IMAGE, headers=JPEG)
        assert response.status_code == 429
        assert "3 images wait for the model already" in response.json()["error"]
        assert response.headers["retry-after"] == "1"
        assert "tfod_transfer_queue_length 3.0" in client.get("/metrics").text


def test_an_answer_that_takes_too_long(model: FakeModel) -> None:
    with serving(model, dataclasses.replace(SETTINGS, timeout=0.05)) as (client, batcher):
        wait_until_ready(client)
        fill(model, batcher, 1)
        response = client.post("/invocations", content=IMAGE, headers=JPEG)
        assert response.status_code == 504
        assert "no answer within 0.05 s" in response.json()["error"]
        model.free.set()
    assert sum(map(len, model.batches)) == 2  # what nobody waits for any more was not run


def test_stopping_finishes_what_was_taken(model: FakeModel) -> None:
    responses = []
    with serving(model, SETTINGS) as (client, batcher):
        wait_until_ready(client)
        model.free.clear()
        asking = threading.Thread(
            target=lambda: responses.append(client.post("/invocations", content=IMAGE, headers=JPEG))
        )
        asking.start()
        assert model.entered.acquire(timeout=SECONDS)
        answers = batcher.submit([Image(IMAGE, 1)] * 3)
        model.free.set()
        asking.join(SECONDS)
    assert responses[0].status_code == 200
    assert all(answer.done() for answer in answers)


def test_requests_are_counted_by_route_and_status(client: TestClient) -> None:
    client.post("/invocations", content=IMAGE, headers=JPEG)
    client.post("/invocations", content=b"", headers=JPEG)
    client.post(PREDICT, json=rows(IMAGE, IMAGE))
    client.get("/somewhere/else")
    text = client.get("/metrics").text
    for line in (
        'tfod_transfer_requests_total{route="/invocations",status="200"} 1.0',
        'tfod_transfer_requests_total{route="/invocations",status="400"} 1.0',
        'tfod_transfer_requests_total{route="/v1/models/{name}:predict",status="200"} 1.0',
        'tfod_transfer_requests_total{route="other",status="404"} 1.0',
        'tfod_transfer_request_seconds_count{route="/invocations"} 2.0',
        "tfod_transfer_batch_size_sum 3.0",
        "tfod_transfer_ready 1.0",
    ):
        assert line in text.splitlines()


def test_the_page_has_everything_in_it(client: TestClient) -> None:
    response = client.get("/")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "Finds 2 classes" in response.text
    assert "cat, 7" in response.text
    assert "http://" not in response.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in response.text
