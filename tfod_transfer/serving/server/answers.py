"""What goes wrong with a request, as the sentence and the status that it is answered with."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response


class RefusedError(Exception):
    """A request that is answered with an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def json_response(content: Any, status: int = 200, media_type: str = "application/json") -> Response:
    """A response with JSON."""
    return Response(msgspec.json.encode(content), status, media_type=media_type)


def error_response(status: int, sentence: str) -> Response:
    """A response in the form of TF Serving's errors, which SageMaker's containers share."""
    response = json_response({"error": sentence}, status)
    if status in (408, 413):  # what is left of the body must not be taken for the next request
        response.headers["connection"] = "close"
    if status in (429, 503):
        response.headers["retry-after"] = "1"
    return response
