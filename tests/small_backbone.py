"""A detector with a real decoder and head, thin, on three convolutions: most of a test's time would go into tracing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import tensorflow as tf

from tfod_transfer import registry
from tfod_transfer.modeling import backbones
from tfod_transfer.modeling.detector import Detector, build_detector
from tfod_transfer.modeling.layers import Block, Convolution, LayerSettings

DEMO = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"


class SmallBackbone(Block):
    """Three convolutions in place of fifty."""

    output_channels = (8, 8, 8)

    def __init__(self, settings: LayerSettings) -> None:
        super().__init__()
        self.convolutions = [
            Convolution(f"backbone/{i}", "dense", 8 if i else 3, 8, settings, strides=2 if i else 8) for i in range(3)
        ]

    def call(self, x: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> list[tf.Tensor]:
        maps = [tf.nn.relu6(self.convolutions[0](x))]
        for convolution in self.convolutions[1:]:
            maps.append(tf.nn.relu6(convolution(maps[-1])))
        return maps


def thin_spec(**changes: Any) -> registry.ModelSpec:
    """The demo model's registry entry for 64 pixels, with eight channels and one convolution in the head."""
    spec = registry.load_registry().get(DEMO)
    structure = dataclasses.replace(spec.structure, **{"feature_depth": 8, "head_convs": 1, **changes})
    return dataclasses.replace(spec, input_size=64, structure=structure)


def build_small(spec: registry.ModelSpec, num_classes: int = 2, **options: Any) -> Detector:
    """As `build_detector`, on the small backbone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "build", lambda structure, settings: SmallBackbone(settings))
        return build_detector(spec, num_classes, **options)
