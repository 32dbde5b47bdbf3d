"""Decoders (necks): a backbone's feature maps -> the maps that the head sees, finest first. One file for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfod_transfer.modeling.decoders import multibox_maps, ssd_feature_maps
from tfod_transfer.modeling.decoders.bifpn import BiFPN
from tfod_transfer.modeling.decoders.fpn import FeaturePyramid
from tfod_transfer.modeling.layers import Block, LayerSettings
from tfod_transfer.registry import Structure

# (channels of the backbone's maps, structure, input size, settings) -> decoder
DECODERS: dict[str, Callable[[Sequence[int], Structure, int, LayerSettings], Block]] = {
    "bifpn": BiFPN,
    "fpn": FeaturePyramid,
    "multibox": multibox_maps.MultiboxMaps,
    "ssd_feature_maps": ssd_feature_maps.SsdFeatureMaps,
}


def output_channels(in_channels: Sequence[int], structure: Structure) -> list[int]:
    """Channels of each map that a decoder gives, from those of the backbone's maps."""
    if structure.decoder == "ssd_feature_maps":
        return ssd_feature_maps.output_channels(in_channels, structure)
    if structure.decoder == "multibox":
        return multibox_maps.output_channels(in_channels, structure)
    return [structure.feature_depth] * structure.num_levels
