"""Weights of the models whose checkpoint keys are not in shared/zoo, for the reference's side and for the project's."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

import numpy as np

# Factors of batch norms' variances, so that in each part the image neither fades nor explodes on its way through.
_B6 = {"_efficientnet": 0.75, "node_input_blocks": 0.5, "node_post_combine_block": 3.0, "_box_predictor": 0.5}
_VARIANCES = {
    "efficientdet_d5_coco17_tpu-32": {"_efficientnet": 0.7, "_bifpn_stage": 0.6, "_box_predictor": 0.5},
    "efficientdet_d6_coco17_tpu-32": _B6,
    "efficientdet_d7_coco17_tpu-32": _B6,
}


def tensors(name: str, shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Returns values by checkpoint key; needs the folder shared/golden on the path."""
    synth = importlib.import_module("synthetic_weights").synth
    values = {key: synth(key, shape) for key, shape in shapes.items()}
    for part, factor in _VARIANCES[name].items():
        for key in values:
            if part in key and "moving_variance" in key:
                values[key] *= np.float32(factor)
    return values
