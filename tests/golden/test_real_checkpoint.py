"""A genuinely trained checkpoint finds faces and hands where a person sees them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tfod_transfer import registry
from tfod_transfer.data import resize
from tfod_transfer.modeling import postprocessing, zoo_checkpoint
from tfod_transfer.modeling.detector import build_detector

pytestmark = pytest.mark.golden

NAME = "ssd_mobilenet_v2_fpnlite_320x320_hands"
MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"

# Boxes [ymin, xmin, ymax, xmax] drawn by eye, a few hundredths exact.
SEEN = [
    pytest.param("000000000294.jpg", "face", [0.16, 0.15, 0.42, 0.30], id="a cook's face"),
    pytest.param("000000000459.jpg", "face", [0.13, 0.24, 0.43, 0.51], id="a man in a mirror"),
    pytest.param("000000000459.jpg", "closed", [0.40, 0.82, 0.53, 0.97], id="the hand that holds his camera"),
]


@pytest.mark.parametrize(("image", "label", "box"), SEEN)
def test_finds(shared: Callable[[str], pathlib.Path], image: str, label: str, box: list[float]) -> None:
    folder = shared(f"checkpoints/{NAME}")
    names = tuple((folder / "labels.txt").read_text().split())
    spec, prefix = registry.load_registry().get(MODEL_ID), str(folder / "checkpoint" / "ckpt-0")
    assert zoo_checkpoint.num_classes_in(prefix, spec) == len(names) == 7
    detector = build_detector(spec, 7)
    report = zoo_checkpoint.restore(detector, prefix, checkpoint_class_names=names, class_names=names)
    assert len(report.restored) == 384
    assert sorted(key.split("/")[0] for key in report.unused) == ["_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter"]
    pixels = tf.io.decode_jpeg((shared("data/coco_permissive/images") / image).read_bytes())
    output = detector(resize.resize(pixels, spec)[tf.newaxis])
    detections = postprocessing.detect(output, detector.anchors, spec)
    boxes, classes, scores = (x.numpy()[0] for x in detections[:3])
    found = boxes[(classes == names.index(label)) & (scores > 0.5)]
    assert np.abs(found - box).max(axis=-1).min() < 0.05, found
