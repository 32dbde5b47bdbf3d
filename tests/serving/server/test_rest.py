"""TF Serving's REST form: what is read, and what is wrong with what is not."""

from __future__ import annotations

import base64
import json

import pytest

from tfod_transfer.serving.server import rest
from tfod_transfer.serving.server.answers import RefusedError

A, B = ({"b64": base64.b64encode(contents).decode()} for contents in (b"a", b"b\xff"))


@pytest.mark.parametrize(
    ("request_body", "by_columns"),
    [
        pytest.param({"instances": [{"image_bytes": A}, {"image_bytes": B}]}, False, id="rows"),
        pytest.param({"instances": [A, B]}, False, id="rows of the one input"),
        pytest.param(
            {"instances": [A, {"image_bytes": B}], "signature_name": "serving_default"}, False, id="signature"
        ),
        pytest.param({"instances": [A, B], "signature_name": ""}, False, id="empty signature"),
        pytest.param({"inputs": {"image_bytes": [A, B]}}, True, id="columns"),
        pytest.param({"inputs": [A, B]}, True, id="columns of the one input"),
    ],
)
def test_both_forms_give_the_images(request_body: object, by_columns: bool) -> None:
    assert rest.read(json.dumps(request_body).encode()) == ([b"a", b"b\xff"], by_columns)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param(b"", "is not JSON", id="empty"),
        pytest.param(b"\xff\xd8\xff", "is not JSON", id="an image"),
        pytest.param(b"[" * 100_000, "is not JSON", id="very deep"),
        pytest.param(b"[]", "is a list; expected", id="a list"),
        pytest.param(b"{}", "neither of", id="nothing"),
        pytest.param({"instances": [A], "inputs": [A]}, "both of", id="both forms"),
        pytest.param({"instances": [A], "signature_name": "detect"}, "no signature 'detect'", id="another signature"),
        pytest.param(
            {"instances": [A], "signature_name": ["x"]}, "no signature ['x']", id="a signature that is a list"
        ),
        pytest.param({"instances": []}, '"instances" is an empty list', id="no images"),
        pytest.param({"instances": A}, '"instances" is an object, not a list', id="an image without a list"),
        pytest.param({"inputs": {"image_bytes": A}}, "is an object, not a list", id="a column without a list"),
        pytest.param({"inputs": {"images": [A]}}, "has the inputs 'images'; expected 'image_bytes'", id="other input"),
        pytest.param({"instances": [A, {}]}, '"instances"[1] has the inputs none', id="a row without an input"),
        pytest.param({"instances": [A, "text"]}, '"instances"[1] is text; expected', id="text"),
        pytest.param({"instances": [A, None]}, '"instances"[1] is null', id="null"),
        pytest.param({"instances": [[1, 2]]}, '"instances"[0] is a list', id="numbers"),
        pytest.param({"instances": [{"b64": 1}]}, '"instances"[0] is an object', id="base64 that is a number"),
        pytest.param({"instances": [{"b64": "a-_b"}]}, '"instances"[0] is not base64', id="not base64"),
        pytest.param({"instances": [{"b64": "aé=="}]}, '"instances"[0] is not base64', id="not ASCII"),
    ],
)
def test_what_is_wrong_is_said_and_where(body: object, sentence: str) -> None:
    with pytest.raises(RefusedError) as refused:
        rest.read(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert refused.value.status == 400
    assert sentence in refused.value.sentence
    assert refused.value.sentence.endswith(".")


def test_answers_have_the_form_of_the_request() -> None:
    rows = [{"scores": [0.5], "status": ""}, {"scores": [0.25], "status": "no."}]
    assert rest.answer(rows, False) == {"predictions": rows}
    assert rest.answer(rows, True) == {"outputs": {"scores": [[0.5], [0.25]], "status": ["", "no."]}}
