"""Heads: a decoder's maps -> box encodings [B, A, 4] and class logits [B, A, slots]. One file for each kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from tfod_transfer.modeling.heads import per_level, weight_shared
from tfod_transfer.modeling.heads.split import SplitHead
from tfod_transfer.modeling.layers import KEY_SUFFIX, LayerSettings
from tfod_transfer.registry import Structure

Head = Callable[[Sequence[int], Structure, Sequence[int], int, LayerSettings], SplitHead]


def _weight_shared(
    channels: Sequence[int], structure: Structure, anchors_per_cell: Sequence[int], slots: int, settings: LayerSettings
) -> SplitHead:
    del channels  # all feature_depth
    return weight_shared.WeightSharedHead(structure, anchors_per_cell, slots, settings)


# (channels of the decoder's maps, structure, anchors of a cell on each level, class slots, settings) -> head
HEADS: dict[str, Head] = {
    "shared_tower": _weight_shared,
    "two_towers": _weight_shared,
    "per_level": per_level.PerLevelHead,
    "multibox": functools.partial(per_level.PerLevelHead, predictors=per_level.MULTIBOX),
}


def class_bias_key(structure: Structure) -> str:
    """Checkpoint key of a bias that has one value for each anchor of a cell on the last level and each class slot."""
    per_map = {"per_level": per_level.OBJECT_DETECTION_API, "multibox": per_level.MULTIBOX}.get(structure.head)
    layer = per_map.class_key(structure.num_levels - 1) if per_map else weight_shared.CLASS_KEY
    return f"{layer}/bias{KEY_SUFFIX}"
