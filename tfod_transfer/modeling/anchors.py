"""Anchors of the multi-scale grid that the FPN models of the zoo share. NumPy only: `inspect` needs them at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfod_transfer.registry import ModelSpec


def anchors_per_cell(spec: ModelSpec) -> list[int]:
    """How many anchors a cell of each feature map has, finest map first."""
    structure = spec.structure
    count = len(structure.aspect_ratios) * structure.scales_per_octave
    return [count] * (structure.max_level - structure.min_level + 1)


def generate(spec: ModelSpec) -> npt.NDArray[np.float32]:
    """Anchors of a model, in the order of its outputs: levels, rows, columns, aspect ratios, scales.

    Computed in float32 and in the order of the Object Detection API (its multiscale_grid_anchor_generator.py): the last
    bit decides which of two anchors that overlap a box equally becomes its own.

    Returns:
      float32 [A, 4], normalised [ymin, xmin, ymax, xmax]; those at the rim reach over it.
    """
    size, structure = spec.input_size, spec.structure
    octave = np.arange(structure.scales_per_octave) / structure.scales_per_octave
    scales = np.exp2(octave).astype(np.float32)
    roots = np.sqrt(np.array(structure.aspect_ratios, np.float32))[:, np.newaxis]
    levels = []
    for level in range(structure.min_level, structure.max_level + 1):
        stride = np.float32(2**level)
        side = np.float32(structure.anchor_scale) * stride
        sizes = np.stack([(scales / roots * side).ravel(), (scales * roots * side).ravel()], axis=-1)
        # A stride that does not divide the input leaves the first centre at 0 in that generator.
        offset = stride / 2 if size % 2**level == 0 else np.float32(0)
        centres = np.arange(-(-size // 2**level), dtype=np.float32) * stride + offset
        middles = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)[:, :, np.newaxis]
        half = np.float32(0.5) * sizes
        levels.append(np.concatenate([middles - half, middles + half], axis=-1).reshape(-1, 4))
    normalised: npt.NDArray[np.float32] = np.concatenate(levels) * (np.float32(1) / np.float32(size))
    return normalised
