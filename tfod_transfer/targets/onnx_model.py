"""The ONNX model of a detector: converted, quantised, described in its own metadata."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import tf2onnx
from onnxruntime import quantization as runtime_quantization

from tfod_transfer.targets.calibration import Pixels
from tfod_transfer.targets.metadata import INPUT, KEY
from tfod_transfer.targets.portable import OUTSIDE
from tfod_transfer.targets.quiet import converting

OPSET = 17
# What is worth computing in 8 bits; other ops of a network follow their inputs.
_QUANTIZED_OPS = ["Conv", "Add"]
_SMALL = 256  # elements; constants of this size and less are not worth a cast


def convert(
    function: Any,
    quantization: str | None,
    images: Callable[[], Iterator[Pixels]] | None,
    description: dict[str, Any],
) -> bytes:
    """Makes the model; arguments as of `tflite_model.convert`.

    Raises:
      ArtifactError: tf2onnx cannot convert it, or onnxruntime not quantise it.
      DataError: an image cannot be decoded.
    """
    with (
        converting("this model cannot be converted to ONNX"),
        tempfile.TemporaryDirectory(prefix="tfod_transfer-") as scratch,
    ):
        model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
        onnx.checker.check_model(model)  # tf2onnx lets ops stand that ONNX does not have
        if quantization == "float16":
            _store_as_float16(model)
        elif quantization is not None:
            model = _in_integers(model, images, pathlib.Path(scratch))
    properties = {KEY: json.dumps(description, ensure_ascii=False), "labels": "\n".join(description["labels"])}
    onnx.helper.set_model_props(model, properties)
    content: bytes = model.SerializeToString()
    return content


def _in_integers(
    model: onnx.ModelProto, images: Callable[[], Iterator[Pixels]] | None, scratch: pathlib.Path
) -> onnx.ModelProto:
    """Quantises the network: by what occurs in images, or without them each input when it runs."""
    before, after = scratch / "float32.onnx", scratch / "integers.onnx"
    onnx.save(model, before)
    if images is None:
        # ONNX's convolution of integers whose scale is not known before takes unsigned weights only.
        runtime_quantization.quantize_dynamic(
            before, after, op_types_to_quantize=["Conv"], weight_type=runtime_quantization.QuantType.QUInt8
        )
    else:
        outside = [node.name for node in model.graph.node if node.name.startswith(OUTSIDE)]
        runtime_quantization.quantize_static(
            before,
            after,
            _Calibration(images()),
            quant_format=runtime_quantization.QuantFormat.QDQ,
            op_types_to_quantize=_QUANTIZED_OPS,
            nodes_to_exclude=outside,
            per_channel=True,
        )
    return onnx.load(after)


class _Calibration(runtime_quantization.CalibrationDataReader):
    """Hands out images one by one."""

    def __init__(self, images: Iterator[Pixels]) -> None:
        self._images = images

    def get_next(self) -> dict[str, Pixels] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image}


def _store_as_float16(model: onnx.ModelProto) -> None:
    """Halves the weights; a runtime makes float32 of them when it loads the model."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size <= _SMALL or tensor.name.startswith(OUTSIDE):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}:float16"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], f"{name}:float32", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
