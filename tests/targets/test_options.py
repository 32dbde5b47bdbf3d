"""What can be asked of a target."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from tfod_transfer import errors
from tfod_transfer.targets import options
from tfod_transfer.targets.options import TargetOptions


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"quantization": "int8"}, "int8 needs --calibration DATA"),
        ({"quantization": "float16", "calibration": "data"}, "--calibration goes with --quantize int8"),
        ({"calibration": "data"}, "--calibration goes with --quantize int8"),
        ({"tolerance": -0.1}, "tolerance: expected a number from 0 to 1, found -0.1"),
        ({"tolerance": float("nan")}, "tolerance: expected a number from 0 to 1, found nan"),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.UsageError, match=message):
        TargetOptions("tflite", **given)


def test_the_tolerance_in_force() -> None:
    assert TargetOptions("tflite", tolerance=0.0).allowed("bfloat16") == 0
    exact, rough = TargetOptions("tflite", check="d"), TargetOptions("tflite", "int8", calibration="c", check="d")
    assert exact.allowed() < exact.allowed("bfloat16") <= rough.allowed()
    assert rough.allowed() == rough.allowed("bfloat16")
    assert TargetOptions("tflite").allowed() > exact.allowed()


def test_missing_packages_are_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name))
    options.require_packages("tflite")
    with pytest.raises(errors.UsageError, match=r"need tf2onnx, .*pip install 'tfod_transfer\[onnx\]'"):
        options.require_packages("onnx")
