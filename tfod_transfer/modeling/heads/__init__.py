"""Heads: a decoder's maps -> box encodings [B, A, 4] and class logits [B, A, slots]. One file for each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfod_transfer.modeling.heads import weight_shared
from tfod_transfer.modeling.layers import KEY_SUFFIX, Block, LayerSettings
from tfod_transfer.registry import Structure

# (structure, anchors of a cell on each level, class slots, settings) -> head
HEADS: dict[str, Callable[[Structure, Sequence[int], int, LayerSettings], Block]] = {
    "shared_tower": weight_shared.WeightSharedHead,
    "two_towers": weight_shared.WeightSharedHead,
}


def class_bias_key(structure: Structure) -> str:
    """Checkpoint key of a bias that has one value for each anchor of a cell on the last level and each class slot."""
    return f"{weight_shared.CLASS_KEY}/bias{KEY_SUFFIX}"
