"""TF Serving's REST form of a prediction: https://www.tensorflow.org/tfx/serving/api_rest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from tfod_transfer.serving.server.answers import RefusedError
from tfod_transfer.serving.server.batching import Row

SIGNATURE, INPUT = "serving_default", "image_bytes"
_EXPECTED = (
    f'expected {{"instances": [{{"{INPUT}": {{"b64": "…"}}}}, …]}} or {{"inputs": {{"{INPUT}": [{{"b64": "…"}}, …]}}}}'
)


class Prediction(NamedTuple):
    """What a request asks for: images, and whether it asks by columns, and so wants its answer."""

    images: list[bytes]
    by_columns: bool


def read(body: bytes) -> Prediction:
    """Reads a request's JSON.

    Raises:
      RefusedError: 400, with what is wrong and where.
    """
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedError(400, f"the request is not JSON ({error}); {_EXPECTED}.") from None
    if not isinstance(request, dict):
        raise RefusedError(400, f"the request is {_kind(request)}; {_EXPECTED}.")
    signature = request.get("signature_name") or SIGNATURE
    if signature != SIGNATURE:
        raise RefusedError(400, f"there is no signature {signature!r} here; expected {SIGNATURE!r}, or none.")
    if ("instances" in request) == ("inputs" in request):
        found = "both" if "inputs" in request else "neither"
        raise RefusedError(400, f'the request has {found} of "instances" and "inputs"; {_EXPECTED}.')
    by_columns = "inputs" in request
    values = _input_of(request["inputs"], '"inputs"') if by_columns else request["instances"]
    place = f'"inputs"[{INPUT!r}]' if by_columns else '"instances"'
    if not isinstance(values, list) or not values:
        found = "an empty list" if values == [] else _kind(values)
        raise RefusedError(400, f"{place} is {found}, not a list of images; {_EXPECTED}.")
    images = []
    for index, value in enumerate(values):
        where = f"{place}[{index}]"
        images.append(_bytes_of(value if by_columns else _input_of(value, where), where))
    return Prediction(images, by_columns)


def answer(rows: Sequence[Row], by_columns: bool) -> dict[str, Any]:
    """The reply to a request with these rows."""
    if by_columns:
        return {"outputs": {name: [row[name] for row in rows] for name in rows[0]}}
    return {"predictions": list(rows)}


def _input_of(value: Any, where: str) -> Any:
    """The value of the one input, which may be named or not."""
    if not isinstance(value, dict) or "b64" in value:
        return value
    if set(value) != {INPUT}:
        found = ", ".join(map(repr, value)) or "none"
        raise RefusedError(400, f"{where} has the inputs {found}; expected {INPUT!r}.")
    return value[INPUT]


def _bytes_of(value: Any, where: str) -> bytes:
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        raise RefusedError(400, f'{where} is {_kind(value)}; expected an image as {{"b64": "…"}}.')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, f"{where} is not base64 ({error}).") from None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
