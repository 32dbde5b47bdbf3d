"""Small detectors of the family that is built, for tests that need no pretrained weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tfod_transfer import registry

FPNLITE_320 = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., registry.ModelSpec]:
    """Returns the 320 model's registry entry, with some fields of the entry or of its structure replaced."""
    base = registry.load_registry().get(FPNLITE_320)

    def make(**changes: Any) -> registry.ModelSpec:
        names = {field.name for field in dataclasses.fields(registry.Structure)}
        structure = dataclasses.replace(base.structure, **{k: v for k, v in changes.items() if k in names})
        entry = {k: v for k, v in changes.items() if k not in names}
        return dataclasses.replace(base, structure=structure, **entry)

    return make


@pytest.fixture(scope="session")
def make_efficientdet() -> Callable[..., registry.ModelSpec]:
    """Returns EfficientDet D0 at 128 pixels with a thin decoder and head, some fields of its structure replaced."""
    base = registry.load_registry().get("tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8")

    def make(**changes: Any) -> registry.ModelSpec:
        thin = {"feature_depth": 16, "bifpn_iterations": 1, "head_convs": 1, **changes}
        return dataclasses.replace(
            base, model_id="small", input_size=128, structure=dataclasses.replace(base.structure, **thin)
        )

    return make


@pytest.fixture(scope="session")
def tiny_detector(tiny_spec: registry.ModelSpec) -> Any:
    """A detector of three classes that no test may change."""
    from tfod_transfer.modeling.detector import build_detector

    return build_detector(tiny_spec, 3)


@pytest.fixture(scope="session")
def tiny_spec(make_spec: Callable[..., registry.ModelSpec]) -> registry.ModelSpec:
    """The same family at a quarter of the width, 96 pixels, two convolutions in the head."""
    return make_spec(model_id="tiny", input_size=96, depth_multiplier=0.25, feature_depth=16, head_convs=2)
