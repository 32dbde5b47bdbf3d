"""Decoders (necks): a backbone's feature maps -> the maps that the head sees, finest first. One file for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfod_transfer.modeling.decoders.fpn import FeaturePyramid
from tfod_transfer.modeling.layers import Block, LayerSettings
from tfod_transfer.registry import Structure

# (channels of the backbone's maps, structure, input size, settings) -> decoder
DECODERS: dict[str, Callable[[Sequence[int], Structure, int, LayerSettings], Block]] = {
    "fpn": FeaturePyramid,
}
