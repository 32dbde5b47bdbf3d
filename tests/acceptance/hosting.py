"""Stand-ins for SageMaker's TensorFlow Serving container: its Python service, and TensorFlow Serving's REST interface.

What they do is described in AWS's and TensorFlow Serving's public sources; TensorFlow itself runs the SavedModel.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import http.server
import importlib.util
import io
import json
import pathlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import requests
import tensorflow as tf

Context = collections.namedtuple(
    "Context",
    "model_name model_version method rest_uri grpc_port channel custom_attributes request_content_type accept_header "
    "content_length",
)


class ModelError(Exception):
    """What a client of an endpoint gets when the container does not answer with 200."""


class Answer(NamedTuple):
    status: int
    content_type: str | None
    body: bytes


class Container:
    """The Python service: the handlers of code/inference.py around TensorFlow Serving."""

    def __init__(self, script: pathlib.Path, port: int, default_model: str = "model") -> None:
        self._port, self._default_model = port, default_model
        spec = importlib.util.spec_from_file_location("inference", script)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)  # the container does not name it in sys.modules either
        self._handler = self._handler_of(module)

    def invoke(self, body: bytes, headers: Mapping[str, str], model_name: str | None = None) -> Answer:
        """POST /invocations; `model_name` as in the path of a multi-model endpoint."""
        given = {name.lower(): value for name, value in headers.items()}
        custom = given.get("x-amzn-sagemaker-custom-attributes")
        attributes = dict(found.split("=") for found in re.findall(r"tfs-[a-z\-]+=[^,]+", custom or ""))
        name = model_name or attributes.get("tfs-model-name", self._default_model)
        version = f"/versions/{attributes['tfs-model-version']}" if "tfs-model-version" in attributes else ""
        method = attributes.get("tfs-method", "predict")
        context = Context(
            model_name=model_name or attributes.get("tfs-model-name"),
            model_version=attributes.get("tfs-model-version"),
            method=attributes.get("tfs-method"),
            rest_uri=f"http://localhost:{self._port}/v1/models/{name}{version}:{method}",
            grpc_port="9000",
            channel=None,
            custom_attributes=custom,
            request_content_type=given.get("content-type") or "application/json",
            accept_header=given.get("accept") or "application/json",
            content_length=len(body),
        )
        try:
            answer, content_type = self._handler(io.BytesIO(body), context)
        except Exception as error:
            return Answer(500, "application/json", json.dumps({"error": str(error)}).encode())
        return Answer(200, content_type, answer.encode() if isinstance(answer, str) else answer)

    @staticmethod
    def _handler_of(module: Any) -> Callable[[Any, Context], Any]:
        if hasattr(module, "handler"):
            return module.handler
        if not (hasattr(module, "input_handler") and hasattr(module, "output_handler")):
            raise NotImplementedError("Handlers are not implemented correctly in user script.")

        def handler(data: Any, context: Context) -> Any:
            response = requests.post(context.rest_uri, data=module.input_handler(data, context))
            return module.output_handler(response, context)

        return handler


class Predictor:
    """An endpoint as SageMaker's SDK shows it to a notebook."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def predict(self, data: bytes, initial_args: Mapping[str, str]) -> bytes:
        headers = {"Content-Type": initial_args["ContentType"], "Accept": initial_args["Accept"]}
        answer = self._container.invoke(data, headers)
        if answer.status != 200:
            raise ModelError(answer.body.decode())
        return answer.body


@contextlib.contextmanager
def tensorflow_serving(folders: Mapping[str, pathlib.Path]) -> Iterator[int]:
    """REST on a free port, for models by name, each a folder with numbered versions; yields the port."""
    models = {
        (name, version.name): tf.saved_model.load(str(version))
        for name, folder in folders.items()
        for version in folder.iterdir()
        if version.name.isdigit()
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, reply = _respond(models, self.path, body)
            content = json.dumps(reply, indent=4, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _respond(models: Mapping[tuple[str, str], Any], path: str, body: bytes) -> tuple[int, Any]:
    asked = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict", path)
    if not asked:
        return 400, {"error": f"Malformed request: POST {path}"}
    name, version = asked.groups()
    versions = [number for model, number in models if model == name and version in (None, number)]
    if not versions:
        specific = f"Specific({name}, {version})" if version else f"Latest({name})"
        return 404, {"error": f"Servable not found for request: {specific}"}
    try:
        request = json.loads(body)
    except ValueError as error:
        return 400, {"error": f"JSON Parse error: {error}"}
    signature = models[name, max(versions, key=int)].signatures[request.get("signature_name", "serving_default")]
    try:
        outputs = signature(**_inputs(signature, request["instances"]))
        return 200, {"predictions": _rows({key: value.numpy() for key, value in outputs.items()})}
    except ValueError as error:
        return 400, {"error": str(error)}
    except tf.errors.OpError as error:
        return 400, {"error": error.message}


def _inputs(signature: Any, instances: list[Any]) -> dict[str, tf.Tensor]:
    """Rows to a batch: each is an object with all inputs by name, or the only input's value."""
    specs = signature.structured_input_signature[1]
    if isinstance(instances[0], dict) and set(instances[0]) != {"b64"}:
        for position, instance in enumerate(instances):
            if instance.keys() != specs.keys():
                raise ValueError(
                    f"Failed to process element: {position} of 'instances' list. JSON object: {instance} keys must be "
                    f"equal to: {','.join(sorted(specs))}"
                )
        columns = {name: [instance[name] for instance in instances] for name in specs}
    else:
        (name,) = specs
        columns = {name: instances}
    return {name: tf.constant(_decoded(columns[name]), specs[name].dtype) for name in specs}


def _decoded(value: Any) -> Any:
    """JSON's values with `{"b64": …}` as bytes."""
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def _rows(outputs: Mapping[str, Any]) -> list[Any]:
    """A batch to rows, with numbers as short as they can be and text as text."""
    (batch,) = {len(value) for value in outputs.values()}  # else TensorFlow Serving says that it is inconsistent
    rows = [{name: _plain(value[row], name) for name, value in outputs.items()} for row in range(batch)]
    return rows if len(outputs) > 1 else [value for row in rows for value in row.values()]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()
    if value.ndim:
        return [_plain(each, name) for each in value]
    return float(str(value)) if value.dtype.kind == "f" else value.item()
