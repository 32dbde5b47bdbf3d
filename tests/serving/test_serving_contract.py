"""What TensorFlow Serving needs of a SavedModel: its loader, its ops, its REST rows, its protos, its warm-up."""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from made_images import encoded
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfod_transfer.artifact import Artifact
from tfod_transfer.serving import description, warmup

SERVER = "tensorflow_model_server"
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 70, 110, 3)).astype(np.uint8)
ZOO = {
    *("detection_anchor_indices", "detection_boxes", "detection_classes", "detection_multiclass_scores"),
    *("detection_scores", "num_detections", "raw_detection_boxes", "raw_detection_scores"),
}
ANSWER = {"normalized_boxes", "classes", "scores", "labels", "image_size", "status"}
OUTPUTS = {"serving_default": ANSWER, "image_tensor": ANSWER, "detection": ZOO}

Run = Callable[[str, Mapping[str, Any]], dict[str, np.ndarray]]
Rows = Callable[[str, list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def run(demo_artifact: Artifact) -> Iterator[Run]:
    """Runs a signature as TensorFlow Serving does: the C++ loader, a session, tensors by name."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], demo_artifact.saved_model)

    def run(signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        definition = meta_graph.signature_def[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        return session.run({name: output.name for name, output in definition.outputs.items()}, feeds)

    yield run
    session.close()


@pytest.fixture(scope="module")
def inputs(photographs: list[bytes]) -> dict[str, dict[str, np.ndarray]]:
    """Three images for each signature, of `serving_default` one bad."""
    contents = np.array([photographs[0], b"garbage", photographs[2]], object)
    return {
        "serving_default": {"image_bytes": contents},
        "image_tensor": {"images": PIXELS},
        "detection": {"input_tensor": PIXELS},
    }


@pytest.mark.parametrize("signature", OUTPUTS)
def test_the_session_loader_answers_the_same(
    signature: str, run: Run, demo_artifact: Artifact, inputs: dict[str, dict[str, np.ndarray]]
) -> None:
    loaded = tf.saved_model.load(demo_artifact.saved_model)
    given = {name: tf.constant(value) for name, value in inputs[signature].items()}
    expected = loaded.signatures[signature](**given)
    found = run(signature, inputs[signature])
    assert set(found) == set(expected) == OUTPUTS[signature]
    for name, value in found.items():
        assert len(value) == 3, name  # rows of the REST form
        if value.dtype == object:
            assert value.tolist() == expected[name].numpy().tolist()
        else:
            np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)


def test_pixels_and_zoo_say_what_bytes_say(run: Run, photographs: list[bytes]) -> None:
    pixels = tf.io.decode_png(photographs[1], channels=3).numpy()[np.newaxis]
    bytes_in = run("serving_default", {"image_bytes": [photographs[1]]})
    pixels_in = run("image_tensor", {"images": pixels})
    zoo = run("detection", {"input_tensor": pixels})
    assert bytes_in["scores"][0, 0] > 0.3
    for name in ("normalized_boxes", "classes", "scores"):
        np.testing.assert_allclose(bytes_in[name], pixels_in[name], atol=1e-6)
    np.testing.assert_allclose(zoo["detection_boxes"][..., [1, 0, 3, 2]], pixels_in["normalized_boxes"], atol=1e-6)
    np.testing.assert_allclose(zoo["detection_classes"], pixels_in["classes"])
    np.testing.assert_allclose(zoo["detection_scores"], pixels_in["scores"])
    assert zoo["num_detections"].tolist() == [(zoo["detection_scores"][0] > 0).sum()]
    anchors = zoo["detection_anchor_indices"][0].astype(int)
    present = zoo["detection_scores"][0] > 0
    slots = zoo["raw_detection_scores"][0, anchors[present]]
    np.testing.assert_allclose(zoo["detection_multiclass_scores"][0, present], slots)
    own = slots[np.arange(len(slots)), zoo["detection_classes"][0, present].astype(int)]  # slot 0 is background
    np.testing.assert_allclose(own, zoo["detection_scores"][0, present], atol=1e-6)
    raw = np.clip(zoo["raw_detection_boxes"][0, anchors[present]], 0, 1)
    np.testing.assert_allclose(raw, zoo["detection_boxes"][0, present], atol=1e-6)


def test_only_ops_of_a_stock_tensorflow(demo_artifact: Artifact) -> None:
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((pathlib.Path(demo_artifact.saved_model) / "saved_model.pb").read_bytes())
    graph = saved_model.meta_graphs[0].graph_def
    functions = graph.library.function
    ops = {node.op for node in graph.node} | {node.op for function in functions for node in function.node_def}
    ops -= {function.signature.name for function in functions}
    assert {"DecodeImage", "IgnoreErrorsDataset", "CombinedNonMaxSuppression"} <= ops
    assert not {op for op in ops if "PyFunc" in op}  # registered wherever Python is
    program = (
        "import sys, tensorflow\n"
        "from tensorflow.python.framework import op_def_registry\n"
        "print('unknown:', *[name for name in sys.argv[1:] if op_def_registry.get(name) is None])"
    )
    command = [sys.executable, "-c", program, *sorted(ops), "OfNoTensorFlow"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["unknown:", "OfNoTensorFlow"]


def test_protos_make_the_round_trip(run: Run, photographs: list[bytes]) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "detector", "serving_default"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(photographs))
    arrived = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    given = {name: tf.make_ndarray(proto) for name, proto in arrived.inputs.items()}
    response = predict_pb2.PredictResponse()
    for name, value in run(arrived.model_spec.signature_name, given).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    answer = predict_pb2.PredictResponse.FromString(response.SerializeToString())
    found = {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}
    assert set(found) == ANSWER
    assert found["normalized_boxes"].shape == (3, 100, 4)
    assert found["scores"].max(axis=1).min() > 0.1
    assert found["status"].tolist() == [b""] * 3


def test_it_warms_up(run: Run, demo_artifact: Artifact) -> None:
    path = pathlib.Path(demo_artifact.saved_model) / warmup.FILE
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    assert len(requests) == 2
    assert path.stat().st_size < 10_000
    for request in requests:
        given = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        assert run(request.model_spec.signature_name, given)["status"].tolist() == [b""]


def test_it_describes_itself(demo_artifact: Artifact) -> None:
    """The files are assets: TensorFlow knows them, and they go where the SavedModel goes."""
    loaded = tf.saved_model.load(demo_artifact.saved_model)
    paths = {pathlib.Path(asset.asset_path.numpy().decode()).name: asset for asset in loaded.assets}
    labels = pathlib.Path(paths[description.LABELS_FILE].asset_path.numpy().decode()).read_text(encoding="utf-8")
    assert labels.splitlines() == demo_artifact.info.labels
    told = json.loads(pathlib.Path(paths[description.MODEL_FILE].asset_path.numpy().decode()).read_text("utf-8"))
    assert told["labels"] == demo_artifact.info.labels
    assert told["detections"]["nms_iou"] == 0.6
    assert told["preprocessing"]["max_pixels"] == demo_artifact.info.max_pixels
    for name, parts in told["signatures"].items():
        signature = loaded.signatures[name]
        assert set(parts["outputs"]) == set(signature.structured_outputs)
        assert set(parts["inputs"]) == set(signature.structured_input_signature[1])
    assert set(told["signatures"]) == set(loaded.signatures)


def rows_in_process(run: Run) -> Iterator[Rows]:
    """The REST form by the book: TensorFlow Serving's documentation of its "row format"."""

    def rows(signature: str, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        instances = json.loads(json.dumps(instances))
        columns = {
            name: np.array(
                [_from_json(row[name]) for row in instances], None if signature != "serving_default" else object
            )
            for name in instances[0]
        }
        found = run(signature, columns)
        assert {len(value) for value in found.values()} == {len(instances)}
        return json.loads(
            json.dumps(
                [{name: _to_json(name, value[i]) for name, value in found.items()} for i in range(len(instances))]
            )
        )

    yield rows


def rows_of_server(saved_model: str) -> Iterator[Rows]:
    """The REST form of the TensorFlow Serving that is on PATH."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        grpc_port, rest_port = one.getsockname()[1], other.getsockname()[1]
    address = f"http://127.0.0.1:{rest_port}/v1/models/detector"
    base = str(pathlib.Path(saved_model).parent)
    command = [SERVER, "--model_name=detector", f"--model_base_path={base}"]
    server = subprocess.Popen([*command, f"--port={grpc_port}", f"--rest_api_port={rest_port}"])

    def rows(signature: str, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        body = json.dumps({"signature_name": signature, "instances": instances}).encode()
        with urllib.request.urlopen(f"{address}:predict", body, timeout=60) as reply:
            return json.load(reply)["predictions"]

    try:
        for _ in range(600):
            assert server.poll() is None, "TensorFlow Serving ended"
            with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address) as reply:
                if "AVAILABLE" in reply.read().decode():
                    break
            time.sleep(0.1)
        yield rows
    finally:
        server.terminate()
        server.wait(30)


def _from_json(value: Any) -> Any:
    is_bytes = isinstance(value, dict) and set(value) == {"b64"}
    return base64.b64decode(value["b64"]) if is_bytes else np.array(value, np.uint8)


def _to_json(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()
    return (
        [_to_json(name, each) for each in value]
        if isinstance(value, np.ndarray) and value.dtype == object
        else value.tolist()
    )


# A stock TensorFlow Serving answers the same test wherever there is one; no package index has its binary.
@pytest.fixture(scope="module", params=["the session loader", *([SERVER] if shutil.which(SERVER) else [])])
def rows(request: pytest.FixtureRequest, demo_artifact: Artifact) -> Iterator[Rows]:
    if request.param == SERVER:
        yield from rows_of_server(demo_artifact.saved_model)
    else:
        yield from rows_in_process(request.getfixturevalue("run"))


def test_rest_rows(rows: Rows, photographs: list[bytes], demo_artifact: Artifact) -> None:
    contents = [photographs[0], b"garbage", encoded(Image.new("L", (7, 300)), "PNG"), photographs[2]]
    found = rows("serving_default", [{"image_bytes": {"b64": base64.b64encode(each).decode()}} for each in contents])
    assert [bool(row["status"]) for row in found] == [False, True, False, False]
    assert max(found[1]["scores"]) == 0
    assert found[0]["scores"][0] > 0.1
    assert found[0]["scores"] == sorted(found[0]["scores"], reverse=True)
    for row in found:
        assert row["labels"] == demo_artifact.info.labels
        assert len(row["normalized_boxes"]) == len(row["classes"]) == len(row["scores"]) == 100
    [pixels] = rows("image_tensor", [{"images": PIXELS[0].tolist()}])
    [zoo] = rows("detection", [{"input_tensor": PIXELS[0].tolist()}])
    assert set(pixels) == ANSWER
    assert set(zoo) == ZOO
    np.testing.assert_allclose(zoo["detection_scores"], pixels["scores"], atol=1e-6)
