"""The flow of AWS's notebook for Object Detection - TensorFlow, with this package's commands for AWS's services.

Estimator.fit is `scripts/transfer_learning.py` in a training job's environment, deploy is `serve` on the unpacked
model.tar.gz, and the notebook's own functions ask it.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from jobs import deploy, fit
from matplotlib import patches
from matplotlib import pyplot as plt
from PIL import Image
from running import DEMO
from served import Serving

from tfod_transfer.demo import shapes

pytestmark = pytest.mark.acceptance


def query(server: Serving, image: bytes, n_predictions: int) -> dict[str, Any]:
    accept = f"application/json;verbose;n_predictions={n_predictions}"
    response: dict[str, Any] = server.post("invocations", image, Content_Type="application/x-image", Accept=accept)
    return response


def parse_response(response: dict[str, Any]) -> tuple[list[list[float]], list[str], list[float]]:
    names = [response["labels"][int(index)] for index in response["classes"]]
    return response["normalized_boxes"], names, response["scores"]


def draw(image: Image.Image, boxes: list[list[float]], names: list[str], target: pathlib.Path) -> None:
    """As the notebook draws: corners in shares of the picture, each box with its name."""
    figure, axes = plt.subplots(figsize=(image.width / 100, image.height / 100), dpi=100)
    axes.set_position((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(image)
    for (left, bottom, right, top), name in zip(boxes, names, strict=True):
        x, width = left * image.width, (right - left) * image.width
        y, height = bottom * image.height, (top - bottom) * image.height
        axes.add_patch(patches.Rectangle((x, y), width, height, edgecolor="red", facecolor="none", linewidth=3))
        axes.text(x, y, name, color="red")
    figure.savefig(target)
    plt.close(figure)


def test_train_deploy_ask_draw_train_on_and_deploy_again(drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    mpl.use("Agg")
    photograph = sorted((drawn / "validation" / "images").iterdir())[0]
    contents = photograph.read_bytes()
    channels = {"training": drawn / "training", "validation": drawn / "validation"}
    first = fit(tmp_path / "first", channels, model_id=DEMO, epochs=2, seed=1)
    with deploy(first, tmp_path / "endpoint") as server:
        response = query(server, contents, 4)
    boxes, names, scores = parse_response(response)
    assert response["labels"] == ["N/A", *shapes.TARGET_CLASSES]
    assert len(boxes) == len(names) == len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert set(names) <= set(shapes.TARGET_CLASSES)

    image = Image.open(photograph).convert("RGB")
    draw(image, boxes[:1], names[:1], tmp_path / "drawn.png")
    pixels = np.asarray(Image.open(tmp_path / "drawn.png").convert("RGB").resize(image.size)).astype(int)
    left, top, right, bottom = (np.array(boxes[0]) * np.tile(image.size, 2)).round().astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1:].max(axis=-1) < 60)
    rows, columns = np.nonzero(red)
    seen = [columns.min(), rows.max(), columns.max()]  # the name stands above
    np.testing.assert_allclose(seen, [left, bottom, right], atol=4)
    assert red[(top + bottom) // 2, max(left - 2, 0) : left + 3].any()

    model = tmp_path / "model_channel"
    model.mkdir()
    (model / "model.tar.gz").write_bytes(first.read_bytes())
    second = fit(tmp_path / "second", {**channels, "model": model}, model_id=DEMO, epochs=2, seed=2)
    metrics = [json.loads((tmp_path / name / "model" / "metrics.json").read_text()) for name in ("first", "second")]
    assert metrics[1]["AP50"] > metrics[0]["AP50"] > 0.05
    assert metrics[1]["before"]["AP50"] == pytest.approx(metrics[0]["AP50"], abs=1e-3)  # it went on from there
    with deploy(second, tmp_path / "endpoint_2") as server:
        again = query(server, contents, 4)
    assert again["labels"] == response["labels"]
    assert again["scores"] != scores
