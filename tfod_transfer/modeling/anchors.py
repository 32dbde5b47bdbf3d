"""Anchors: the multi-scale grid that the FPN models of the zoo share, and SSD's own. NumPy only: `inspect` needs them.

Both are computed in float32 and in the order of the Object Detection API (multiscale_grid_anchor_generator.py and
multiple_grid_anchor_generator.py): the last bit decides which of two anchors that overlap a box equally becomes its
own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfod_transfer.modeling import multibox
from tfod_transfer.registry import ModelSpec, Structure

Array = npt.NDArray[np.float32]

_SSD_MAX_SCALE = 0.95  # side of the coarsest map's anchors, as a share of the input
_SSD_FINEST_SCALE = 0.1  # of the only square anchor of the finest map


def anchors_per_cell(spec: ModelSpec) -> list[int]:
    """How many anchors a cell of each feature map has, finest map first."""
    structure = spec.structure
    if structure.anchor_generator == "multibox":
        return multibox.anchors_per_cell(structure)
    if structure.anchor_generator == "ssd":
        return [len(boxes) for boxes in _ssd_boxes(structure)]
    return [len(structure.aspect_ratios) * structure.scales_per_octave] * structure.num_levels


def generate(spec: ModelSpec) -> Array:
    """Anchors of a model, in the order of its outputs: levels, rows, columns, and those of a cell.

    In a cell, a multi-scale grid has all sizes of the first aspect ratio, then of the next; SSD has all ratios of its
    size, then the larger squares; for "multibox" see multibox.py.

    Returns:
      float32 [A, 4], normalised [ymin, xmin, ymax, xmax]; those at the rim reach over it.
    """
    size, structure = spec.input_size, spec.structure
    if structure.anchor_generator == "multibox":
        return multibox.generate(spec)
    grids = _grids(spec)
    if structure.anchor_generator == "ssd":
        return np.concatenate(
            [_ssd_level(cells, boxes) for (_, cells), boxes in zip(grids, _ssd_boxes(structure), strict=True)]
        )
    pixels = np.concatenate([_grid_level(level, cells, size, structure) for level, cells in grids])
    normalised: Array = pixels * (np.float32(1) / np.float32(size))
    return normalised


def best_overlaps(spec: ModelSpec, boxes: npt.NDArray[Any]) -> Array:
    """The IoU of each box with the anchor of a model that it overlaps most.

    Args:
      spec: the model.
      boxes: [N, 4], normalised [ymin, xmin, ymax, xmax] of the model's square input.

    Returns:
      float32 [N].
    """
    best = np.zeros(len(boxes), np.float32)
    if spec.structure.anchor_generator != "multiscale_grid":
        anchors = generate(spec)
        for row, box in enumerate(boxes.astype(np.float32)):
            best[row] = _overlaps(box, anchors).max()
        return best
    # Of anchors of one size the nearest overlaps most: one for each size, out of a hundred thousand.
    pixels = boxes * spec.input_size
    middles = (pixels[:, :2] + pixels[:, 2:]) / 2
    for level, cells in _grids(spec):
        stride, offset, heights, widths = _cell(level, spec.input_size, spec.structure)
        nearest = np.rint((middles - offset) / stride).clip(0, cells - 1) * stride + offset
        for half in np.stack([heights, widths], axis=-1) / 2:
            near = np.concatenate([nearest - half, nearest + half], axis=1)
            best = np.maximum(best, _overlaps(pixels.T, near))
    return best


def _overlaps(box: npt.NDArray[Any], anchors: npt.NDArray[Any]) -> Array:
    """IoU of boxes [N, 4] with a box [4], or with as many boxes, [4, N]: float32 [N]."""
    ymin, xmin, ymax, xmax = anchors.T
    height = (np.minimum(ymax, box[2]) - np.maximum(ymin, box[0])).clip(0)
    shared = height * (np.minimum(xmax, box[3]) - np.maximum(xmin, box[1])).clip(0)
    union = (ymax - ymin) * (xmax - xmin) + (box[2] - box[0]) * (box[3] - box[1]) - shared
    overlaps: Array = (shared / union).astype(np.float32)
    return overlaps


def _grids(spec: ModelSpec) -> list[tuple[int, int]]:
    """Each level, finest first, with how many cells its feature map has along a side."""
    structure = spec.structure
    return [(level, -(-spec.input_size // 2**level)) for level in range(structure.min_level, structure.max_level + 1)]


def _grid_level(level: int, cells: int, size: int, structure: Structure) -> Array:
    """Anchors of one level of the multi-scale grid, in pixels."""
    stride, offset, heights, widths = _cell(level, size, structure)
    return _tiled(cells, stride, offset, heights, widths)


def _cell(level: int, size: int, structure: Structure) -> tuple[np.float32, np.float32, Array, Array]:
    """Of a level of the multi-scale grid, in pixels: its stride, the first centre, heights and widths in a cell."""
    octave = np.arange(structure.scales_per_octave) / structure.scales_per_octave
    scales = np.exp2(octave).astype(np.float32)
    roots = np.sqrt(np.array(structure.aspect_ratios, np.float32))[:, np.newaxis]
    stride = np.float32(2**level)
    side = np.float32(structure.anchor_scale) * stride
    # A stride that does not divide the input leaves the first centre at 0 in that generator.
    offset = stride / 2 if size % 2**level == 0 else np.float32(0)
    return stride, np.float32(offset), (scales / roots * side).ravel(), (scales * roots * side).ravel()


def _ssd_level(cells: int, boxes: Sequence[tuple[float, float]]) -> Array:
    """Anchors of one feature map of SSD, normalised; `boxes` are (scale, width / height)."""
    scales, ratios = np.array(boxes, np.float32).T
    stride = np.float32(1) / np.float32(cells)
    return _tiled(cells, stride, np.float32(0.5) * stride, scales / np.sqrt(ratios), scales * np.sqrt(ratios))


def _ssd_boxes(structure: Structure) -> list[list[tuple[float, float]]]:
    """(scale, width / height) of the anchors of a cell, for each feature map (arXiv 1512.02325, section 2.2)."""
    # The generator reads both ends from a configuration that stores them in float32.
    first, last = (float(np.float32(scale)) for scale in (structure.anchor_scale, _SSD_MAX_SCALE))
    steps = structure.num_levels - 1
    scales = [first + (last - first) * step / steps for step in range(steps + 1)] + [1.0]
    boxes = [[(_SSD_FINEST_SCALE, 1.0), (scales[0], 2.0), (scales[0], 0.5)]]
    for scale, following in itertools.pairwise(scales[1:]):
        larger = np.geomspace(scale, following, structure.scales_per_octave, endpoint=False)[1:]
        boxes.append([(scale, ratio) for ratio in structure.aspect_ratios] + [(side, 1.0) for side in larger.tolist()])
    return boxes


def _tiled(cells: int, stride: np.float32, offset: np.float32, heights: Array, widths: Array) -> Array:
    """Boxes of the given sizes around the centre of each cell: float32 [cells * cells * sizes, 4]."""
    centres = np.arange(cells, dtype=np.float32) * stride + offset
    middles = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)[:, :, np.newaxis]
    half = np.float32(0.5) * np.stack([heights, widths], axis=-1)
    return np.concatenate([middles - half, middles + half], axis=-1).reshape(-1, 4)
