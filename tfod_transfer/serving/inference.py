"""SageMaker's requests and answers: what `code/inference.py` of an artifact does in the TensorFlow Serving container.

A copy of this file runs there, under that container's own Python and beside none of this package: it imports the
standard library alone and keeps to Python 3.8. The container loads it without naming it in `sys.modules`, which is why
there is no dataclass in it. It calls `input_handler`, posts what that returns to `context.rest_uri`, and passes the
reply to `output_handler`; an exception becomes the status 500 with its text.
"""

from __future__ import annotations

import base64
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

IMAGE_CONTENT_TYPES = ("application/x-image", "image/jpeg", "image/png")
JSON_CONTENT_TYPE = "application/json"
_IMAGE = " or ".join(IMAGE_CONTENT_TYPES)
# Beside `code/` in an artifact.
LABELS_FILE = "labels_info.json"
INFO_FILE = "__model_info__.json"
# SageMaker's name of the algorithm whose models answer with `prediction`; of the others, with `answer`.
SSD = "object-detection"
_LEAST_SCORE = 0.01  # that is told in a `prediction`, as by MXNet's MultiBoxDetection

_VERBOSE = re.compile(r';\s*verbose(?:\s*=\s*"?(?:true|1)"?)?\s*(?=[;,]|$)', re.IGNORECASE)
_N_PREDICTIONS = re.compile(r'n_predictions\s*=\s*"?(\d+)"?', re.IGNORECASE)
_ANNOTATION = re.compile(r'annotation\s*=\s*"?(?:1|true)"?', re.IGNORECASE)
_QUALITY = re.compile(r"\s*;\s*q\s*=\s*[\d.]*", re.IGNORECASE)


class RequestError(ValueError):
    """A request that cannot be answered; one sentence for who sent it."""


class BadImageError(RequestError):
    """An image that the model cannot read."""


class AnswerOptions(NamedTuple):
    """What an Accept header asks for.

    Attributes:
      verbose: the label list and the model's raw output, too.
      n_predictions: at most so many detections; None: all.
      content_type: what the answer says that it is.
      annotation: boxes in pixels, as annotation files have them; of models that answer with `prediction`.
    """

    verbose: bool = False
    n_predictions: int | None = None
    content_type: str = JSON_CONTENT_TYPE
    annotation: bool = False


def media_type(header: str | None) -> str:
    """A Content-Type without its parameters, in lower case."""
    return (header or "").partition(";")[0].strip().lower()


def parse_accept(accept: str | None) -> AnswerOptions:
    """Reads `application/json[;verbose][;n_predictions=K]`, in any order and case; of other values what can be read.

    The answer is JSON whatever is asked for. Its type is the asked one without `;verbose` and `n_predictions=K`, the
    latter's semicolon left in place, as SageMaker's own algorithm answers: `application/json;`.
    """
    accept = accept or ""
    number = _N_PREDICTIONS.search(accept)
    asked = _QUALITY.sub("", _N_PREDICTIONS.sub("", _VERBOSE.sub("", accept))).partition(",")[0].strip().lower()
    return AnswerOptions(
        verbose=_VERBOSE.search(accept) is not None,
        n_predictions=int(number.group(1)) if number else None,
        annotation=_ANNOTATION.search(accept) is not None,
        content_type=asked if media_type(asked) == JSON_CONTENT_TYPE else JSON_CONTENT_TYPE,
    )


def answer(row: Mapping[str, Any], options: AnswerOptions, labels: Sequence[int | str] | None = None) -> dict[str, Any]:
    """One image's answer in SageMaker's form.

    Args:
      row: one row of TF Serving's REST reply of `serving_default`: `normalized_boxes` [N, 4] (xmin, ymin, xmax, ymax),
        `classes` [N] (1-based), `scores` [N] (0 at padding), `labels` [K + 1] and, "" for a good image, `status`.
      options: what was asked for.
      labels: the label list to tell in place of the row's, where all values are text.

    Returns:
      `normalized_boxes`, `classes` and `scores`, best first, without padding. In verbose answers also `labels` (the
      whole list: `labels[int(class)]`) and `tensorflow_model_output`, all rows under the names that models of the
      Object Detection API give them, boxes [ymin, xmin, ymax, xmax].

    Raises:
      BadImageError: the model could not read the image.
    """
    if row.get("status"):
        raise BadImageError(row["status"])
    boxes, classes, scores = row["normalized_boxes"], row["classes"], row["scores"]
    found = sorted((i for i, score in enumerate(scores) if score > 0), key=lambda i: -scores[i])
    told = found[: options.n_predictions]
    result: dict[str, Any] = {
        "normalized_boxes": [boxes[i] for i in told],
        "classes": [classes[i] for i in told],
        "scores": [scores[i] for i in told],
    }
    if options.verbose:
        result["labels"] = list(row["labels"] if labels is None else labels)
        raw = {
            "detection_boxes": [[ymin, xmin, ymax, xmax] for xmin, ymin, xmax, ymax in boxes],
            "detection_classes": classes,
            "detection_scores": scores,
            "num_detections": float(len(found)),
        }
        result["tensorflow_model_output"] = {"predictions": [raw]}
    return result


def prediction(row: Mapping[str, Any], options: AnswerOptions) -> dict[str, Any]:
    """One image's answer in the form of SageMaker's Object Detection (SSD).

    Args:
      row: as of `answer`; also `image_size` (height, width) where annotations are asked for.
      options: what was asked for.

    Returns:
      `prediction`, rows of [class, score, xmin, ymin, xmax, ymax], best first, classes 0-based and boxes normalised; or
      `image_size` and `annotations` with class_id, score, left, top, width and height in whole pixels.

    Raises:
      BadImageError: the model could not read the image.
    """
    if row.get("status"):
        raise BadImageError(row["status"])
    boxes, classes, scores = row["normalized_boxes"], row["classes"], row["scores"]
    found = sorted((i for i, score in enumerate(scores) if score > _LEAST_SCORE), key=lambda i: -scores[i])
    told = [[classes[i] - 1.0, scores[i], *boxes[i]] for i in found[: options.n_predictions]]
    if not options.annotation:
        return {"prediction": told}
    height, width = row["image_size"]
    annotations = []
    for label, score, xmin, ymin, xmax, ymax in told:
        left, top = round(xmin * width), round(ymin * height)
        sides = {"width": round(xmax * width) - left, "height": round(ymax * height) - top}
        annotations.append({"class_id": int(label), "score": score, "left": left, "top": top, **sides})
    return {"image_size": [{"width": width, "height": height, "depth": 3}], "annotations": annotations}


def answer_of(
    algorithm: str, row: Mapping[str, Any], options: AnswerOptions, labels: Sequence[int | str] | None = None
) -> dict[str, Any]:
    """One image's answer in the form of an algorithm: `prediction` or `answer`, which say the rest."""
    return prediction(row, options) if algorithm == SSD else answer(row, options, labels)


def input_handler(data: Any, context: Any) -> str:
    """Makes TF Serving's request of an image's bytes; a request in TF Serving's own form is passed through.

    Args:
      data: the request's body, a stream.
      context: of the container; `request_content_type` is read.

    Raises:
      RequestError: the type or the body is none that can be answered.
    """
    body = data if isinstance(data, (bytes, bytearray)) else data.read()
    kind = media_type(context.request_content_type)
    if kind == JSON_CONTENT_TYPE:
        return _serving_request(bytes(body))
    if kind not in IMAGE_CONTENT_TYPES:
        raise RequestError(
            f"the Content-Type {context.request_content_type!r} is not known here; send the bytes of one image as "
            f"{_IMAGE}, or TensorFlow Serving's form as {JSON_CONTENT_TYPE}."
        )
    if not body:
        raise RequestError("the request is empty; send the bytes of one image, JPEG or PNG.")
    image = {"image_bytes": {"b64": base64.b64encode(body).decode("ascii")}}
    return json.dumps({"signature_name": "serving_default", "instances": [image]})


def output_handler(response: Any, context: Any) -> tuple[str, str]:
    """Makes the answer of TF Serving's reply; that to a request in its own form is passed on as it is.

    Args:
      response: TF Serving's reply; `status_code` and `content` are read.
      context: of the container; `request_content_type` and `accept_header` are read.

    Returns:
      JSON, and its Content-Type.

    Raises:
      RequestError: TF Serving answers with an error, or something that is not the answer of an exported detector.
      BadImageError: the model could not read the image.
    """
    text = response.content.decode("utf-8", "replace")
    if response.status_code != 200:
        raise RequestError(f"TensorFlow Serving answers {response.status_code}: {_error_text(text)}")
    if media_type(context.request_content_type) == JSON_CONTENT_TYPE:
        return text, JSON_CONTENT_TYPE
    options = parse_accept(context.accept_header)
    try:
        row = json.loads(text)["predictions"][0]
        result = answer_of(_algorithm(), row, options, _typed_labels(row["labels"]))
    except (KeyError, IndexError, TypeError) as error:
        raise RequestError(
            f"the model does not answer as an exported detector does ({error!r}); send TensorFlow Serving's form as "
            f"{JSON_CONTENT_TYPE} to get its answer as it is."
        ) from error
    return json.dumps(result), options.content_type


def _serving_request(body: bytes) -> str:
    """The text of a request in TF Serving's own form."""
    try:
        text = body.decode("utf-8")
        request = json.loads(text)
    except ValueError as error:
        raise RequestError(
            f"the request says that it is {JSON_CONTENT_TYPE} and is not ({error}); send the bytes of an image as "
            f"{_IMAGE}."
        ) from error
    if not isinstance(request, dict) or not {"instances", "inputs", "examples"} & request.keys():
        raise RequestError(
            'the request is JSON and not of TensorFlow Serving\'s form; expected {"instances": [{"image_bytes": '
            '{"b64": "…"}}, …]}, or the bytes of an image as ' + _IMAGE + "."
        )
    return text


def _error_text(text: str) -> str:
    """What TF Serving says in `{"error": …}`; other texts as they are."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text


def _algorithm() -> str:
    """What the artifact says of itself."""
    try:
        contents = (pathlib.Path(__file__).resolve().parent.parent / INFO_FILE).read_text(encoding="utf-8")
        return str(json.loads(contents)["algorithm"])
    except (OSError, ValueError, KeyError):  # of an earlier version
        return ""


def _typed_labels(names: Sequence[str]) -> Sequence[int | str]:
    """The artifact's label list, where integers are integers, if it is the list that the model tells as text."""
    try:
        contents = (pathlib.Path(__file__).resolve().parent.parent / LABELS_FILE).read_text(encoding="utf-8")
        labels: Sequence[int | str] = json.loads(contents)["labels"]
    except (OSError, ValueError, KeyError):
        return names
    return labels if [str(label) for label in labels] == list(names) else names
