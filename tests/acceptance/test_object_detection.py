"""SageMaker's Object Detection by the real commands: ImageNet-like weights in, its log and its answers out."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re
import types
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published_metrics import OBJECT_DETECTION
from running import ARTIFACT_FILES, Command, Done

from tfod_transfer.demo import shapes

pytestmark = pytest.mark.acceptance
TRAINED, VALIDATED, EPOCHS = 8, 4, 2
SIDE = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Drawn shapes to train and validate on, and weights of a ResNet-50 in Keras's form."""
    import tf_keras

    folder = tmp_path_factory.mktemp("object_detection")
    shapes.generate(folder / "train", shapes.TARGET_CLASSES, TRAINED, seed=0)
    shapes.generate(folder / "validation", shapes.TARGET_CLASSES, VALIDATED, seed=1)
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.applications.ResNet50(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    for layer in model.layers:
        layer.momentum = 0.0  # one batch makes statistics that keep the signal in bounds, as trained ones do
    images = [Image.open(path).resize((SIDE, SIDE)) for path in sorted((folder / "train" / "images").iterdir())]
    model(tf_keras.applications.resnet50.preprocess_input(np.array(images, np.float32)), training=True)
    model.save_weights(folder / "resnet50.h5")
    return folder


@pytest.fixture(scope="module")
def done(folder: pathlib.Path, command: Command) -> Done:
    done = command(
        "fit", "--base_network", "resnet-50", "--pretrained", folder / "resnet50.h5",
        "--train", folder / "train", "--validation", folder / "validation", "--model_dir", folder / "model",
        "--mini_batch_size", 4, "--epochs", EPOCHS, "--lr_scheduler_step", "1", "--num_classes", 4,
        "--num_training_samples", 9, "--freeze_layer_pattern", "^(conv1_|conv2_).*",
    )  # fmt: skip
    assert done.status == 0, done.error
    return done


def test_every_published_metric_is_in_the_log(done: Done) -> None:
    for name, pattern in OBJECT_DETECTION.items():
        found = re.findall(pattern, done.output)
        assert len(found) == EPOCHS, name
        assert all(np.isfinite(float(value.strip("()"))) for value in found)
    assert re.findall(OBJECT_DETECTION["train:progress"], done.output) == ["50.0", "100.0"]
    assert "num_training_samples': u'9'" in done.output
    assert "num_training_samples is 9, the data has 8" in done.output
    assert not re.search(r"\[Epoch \d+\]", done.output)


def test_what_was_restored_and_what_is_left(done: Done, folder: pathlib.Path) -> None:
    model = folder / "model"
    assert {path.name for path in model.iterdir()} == ARTIFACT_FILES
    restored = json.loads((model / "restore.json").read_text())
    assert restored["totals"]["restored"]["parameters"] == 23_587_712
    info = json.loads((model / "__model_info__.json").read_text())
    assert (info["model_name"], info["algorithm"]) == ("object-detection-ssd-resnet-50", "object-detection")
    assert (info["detection"]["nms_iou"], info["detection"]["max_detections"]) == (0.45, 400)
    history = json.loads((model / "metrics.json").read_text())["history"]
    assert [epoch["learning_rate"] for epoch in history] == pytest.approx([0.001, 0.0001])


def test_predict_answers_in_the_form_of_the_algorithm(done: Done, folder: pathlib.Path, command: Command) -> None:
    predicted = command("predict", folder / "model", folder / "validation" / "images", "--output_dir", folder / "found")
    assert predicted.status == 0, predicted.error
    lines = [json.loads(line) for line in (folder / "found" / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == VALIDATED
    for line in lines:
        check_prediction(line["prediction"])


def check_prediction(rows: list[list[float]]) -> None:
    scores = [row[1] for row in rows]
    assert scores == sorted(scores, reverse=True)
    for label, score, xmin, ymin, xmax, ymax in rows:
        assert label in (0.0, 1.0, 2.0, 3.0)
        assert 0.01 < score <= 1
        assert 0 <= xmin < xmax <= 1
        assert 0 <= ymin < ymax <= 1


def test_the_handler_answers_in_both_forms(done: Done, folder: pathlib.Path) -> None:
    from tfod_transfer.serving.server.model import ServedModel

    handler = handler_of(folder / "model")
    image = next((folder / "validation" / "images").iterdir()).read_bytes()
    asked = types.SimpleNamespace(request_content_type="image/jpeg", accept_header="application/json")
    assert b"image_bytes" in handler.input_handler(image, asked).encode()
    (row,) = ServedModel(folder / "model" / "1")([image])
    reply = types.SimpleNamespace(status_code=200, content=json.dumps({"predictions": [row]}).encode())
    body, kind = handler.output_handler(reply, asked)
    rows = json.loads(body)["prediction"]
    assert kind == "application/json"
    check_prediction(rows)
    asked.accept_header = "application/json;annotation=1"
    annotated = json.loads(handler.output_handler(reply, asked)[0])
    (size,) = annotated["image_size"]
    assert len(annotated["annotations"]) == len(rows)
    for each, (label, score, xmin, ymin, *_) in zip(annotated["annotations"], rows, strict=True):
        assert (each["class_id"], each["score"]) == (label, score)
        assert each["left"] == pytest.approx(xmin * size["width"], abs=0.51)
        assert each["top"] == pytest.approx(ymin * size["height"], abs=0.51)


def handler_of(model: pathlib.Path) -> Any:
    spec = importlib.util.spec_from_file_location("handler", model / "code" / "inference.py")
    assert spec is not None
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    return handler


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(["--base_network", "vgg-16"], "needs the same base_network", id="another network"),
        pytest.param(["--base_network", "resnet-50", "--num_classes", "5"], "needs the same num_classes", id="classes"),
        pytest.param(["--base_network", "resnet-50", "--num_classes", "2"], "the data has 4 classes", id="too few"),
    ],
)
def test_incremental_training_checks_what_must_agree(
    flags: list[str], message: str, done: Done, folder: pathlib.Path, command: Command
) -> None:
    again = command(
        "fit", *flags, "--pretrained", folder / "model", "--train", folder / "train",
        "--validation", folder / "validation", "--model_dir", folder / "again",
    )  # fmt: skip
    assert again.status == 2
    assert message in again.error


def test_incremental_training_takes_all_of_an_earlier_model(done: Done, folder: pathlib.Path, command: Command) -> None:
    again = command(
        "fit", "--base_network", "resnet-50", "--pretrained", folder / "model", "--train", folder / "train",
        "--validation", folder / "validation", "--model_dir", folder / "again", "--mini_batch_size", 4, "--epochs", 1,
        "--learning_rate", 1e-6, "--dry_run",
    )  # fmt: skip
    assert again.status == 0, again.error
    assert re.search(r"re-initialised +0 +0", again.output)
