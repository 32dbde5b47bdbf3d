"""The TensorFlow Lite model of a detector: converted, quantised, named, described in its own metadata.

It has builtin ops alone, so that every TensorFlow Lite runtime runs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tfod_transfer.targets.calibration import Pixels
from tfod_transfer.targets.metadata import INPUT, KEY, OUTPUTS
from tfod_transfer.targets.portable import NETWORK_SCOPE
from tfod_transfer.targets.quiet import converting

SIGNATURE = "serving_default"


def convert(
    function: Any,
    quantization: str | None,
    images: Callable[[], Iterator[Pixels]] | None,
    description: dict[str, Any],
) -> bytes:
    """Makes the model.

    Args:
      function: see `portable.portable_function`.
      quantization: "float16", "dynamic", "int8" or None.
      images: gives those that int8 is calibrated on; None otherwise.
      description: what the model says of itself.

    Raises:
      ArtifactError: TensorFlow Lite cannot convert it.
      DataError: an image cannot be decoded.
    """
    with converting("TensorFlow Lite cannot convert this model"):
        model = _converted(function, quantization, images)
    return _described(model, description)


def _converted(function: Any, quantization: str | None, images: Callable[[], Iterator[Pixels]] | None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantization is None:
        return converter.convert()
    if quantization == "int8" and images is not None:
        outside = _outside_the_network(converter.convert())
        converter.representative_dataset = lambda: ([image] for image in images())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # Of its public interface, the debugger alone leaves ops out of the quantisation.
        return tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=converter.representative_dataset,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=outside),
        ).get_nondebug_quantized_model()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _outside_the_network(model: bytes) -> list[str]:
    """Names of what is computed before and after the network: boxes would be coarse in 8 bits."""
    graph = flatbuffer_utils.convert_bytearray_to_object(bytearray(model)).subgraphs[0]
    names = [graph.tensors[index].name.decode() for operator in graph.operators for index in operator.outputs]
    return [name for name in names if not name.startswith(NETWORK_SCOPE)]


def _described(content: bytes, description: dict[str, Any]) -> bytes:
    """Gives a model's outputs their names, its input a size to start with, and the description."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    for index, name in zip(graph.outputs, OUTPUTS, strict=True):
        graph.tensors[index].name = name.encode()
    # An input of unknown size counts as 1 x 1 until it is resized.
    graph.tensors[graph.inputs[0]].shape = description["input"]["default_shape"]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs = _tensor_maps([INPUT], graph.inputs)
    signature.outputs = _tensor_maps(list(OUTPUTS), graph.outputs)
    model.signatureDefs = [signature]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(json.dumps(description, ensure_ascii=False).encode())
    entry.name, entry.buffer = KEY.encode(), len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _tensor_maps(names: Sequence[str], indices: Sequence[int]) -> list[Any]:
    maps = []
    for name, index in zip(names, indices, strict=True):
        each = schema.TensorMapT()
        each.name, each.tensorIndex = name.encode(), index
        maps.append(each)
    return maps
