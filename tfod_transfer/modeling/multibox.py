"""SSD's feature maps and anchors as MXNet's example/ssd lays them out: symbol_factory.py, MultiBoxPrior. NumPy only.

One thing is as in the SSD paper instead (arXiv 1512.02325): the last map of a large VGG-16 input is 1x1. There the last
convolution has a stride of 1 and leaves 2x2, whose anchors would lie outside with the step that goes with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfod_transfer.registry import ModelSpec, Structure

Array = npt.NDArray[np.float32]

_THREE, _FIVE = (1.0, 2.0, 0.5), (1.0, 2.0, 0.5, 3.0, 1 / 3)  # width / height
# number of maps -> for each map its two anchor sizes in sides of the input, and its ratios
_SIZES = {
    6: ((0.1, 0.141), (0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961)),
    7: ((0.07, 0.1025), (0.15, 0.2121), (0.3, 0.3674), (0.45, 0.5196), (0.6, 0.6708), (0.75, 0.8216), (0.9, 0.9721)),
}
_RATIOS = {
    6: (_THREE, _FIVE, _FIVE, _FIVE, _THREE, _THREE),
    7: (_THREE, _FIVE, _FIVE, _FIVE, _FIVE, _THREE, _THREE),
}
# input size -> distances of the cells' centres in pixels, where they are not what the maps' sizes make them
_STEPS = {
    ("vgg16_reduced", 300): (8, 16, 32, 64, 100, 300),
    ("vgg16_reduced", 512): (8, 16, 32, 64, 128, 256, 512),
}


class ExtraMap(NamedTuple):
    """The 3x3 convolution that makes a feature map from the one before it, after a 1x1 convolution."""

    filters: int
    stride: int
    padding: int


_EXTRA = {
    ("vgg16_reduced", 6): ((512, 2, 1), (256, 2, 1), (256, 1, 0), (256, 1, 0)),
    ("vgg16_reduced", 7): ((512, 2, 1), (256, 2, 1), (256, 2, 1), (256, 2, 1), (256, 2, 1)),
    ("resnet50_keras", 6): ((512, 2, 1), (256, 2, 1), (256, 2, 1), (128, 2, 1)),
}
_LEAST_SQUEEZED = 128  # filters of the 1x1 convolution are half of the 3x3's, but no fewer than these


def extra_maps(structure: Structure) -> list[ExtraMap]:
    """The maps that follow the backbone's two."""
    width = structure.depth_multiplier
    made = _EXTRA[structure.backbone, structure.num_levels]
    return [ExtraMap(scaled(filters, width), stride, padding) for filters, stride, padding in made]


def squeezed_filters(extra: ExtraMap, structure: Structure) -> int:
    """Filters of the 1x1 convolution before an extra map's 3x3."""
    return max(scaled(_LEAST_SQUEEZED, structure.depth_multiplier), extra.filters // 2)


def scaled(filters: int, width: float) -> int:
    """Filters of a layer in a network of another width."""
    return max(1, round(filters * width))


def map_sides(structure: Structure, input_size: int) -> list[int]:
    """Cells along a side of each feature map, finest first."""
    if structure.backbone == "vgg16_reduced":
        finest = -(-(input_size // 2 // 2) // 2)  # the third pooling keeps a last odd row
        sides = [finest, finest // 2]
    else:
        halved = -(-input_size // 2)
        for _ in range(3):
            halved = -(-halved // 2)
        sides = [halved, -(-halved // 2)]
    for extra in extra_maps(structure):
        sides.append((sides[-1] + 2 * extra.padding - 3) // extra.stride + 1)
    return sides


def anchors_per_cell(structure: Structure) -> list[int]:
    """How many anchors a cell of each feature map has."""
    levels = structure.num_levels
    return [len(ratios) + len(sizes) - 1 for sizes, ratios in zip(_SIZES[levels], _RATIOS[levels], strict=True)]


def generate(spec: ModelSpec) -> Array:
    """Anchors, in the order of the head's outputs: maps, rows, columns; in a cell the squares, then the other ratios.

    Returns:
      float32 [A, 4], normalised [ymin, xmin, ymax, xmax], not clipped to the image.
    """
    structure, size = spec.structure, spec.input_size
    levels, sides = structure.num_levels, map_sides(structure, size)
    pixels = _STEPS.get((structure.backbone, size))
    steps = [step / size for step in pixels] if pixels else [1 / side for side in sides]
    maps = zip(sides, steps, _SIZES[levels], _RATIOS[levels], strict=True)
    return np.concatenate([_of_map(*each) for each in maps])


def _of_map(side: int, step: float, sizes: tuple[float, ...], ratios: tuple[float, ...]) -> Array:
    roots = np.sqrt(np.array(ratios[1:], np.float32))
    squares, smallest = np.array(sizes, np.float32), np.float32(sizes[0])
    widths = np.concatenate([squares, smallest * roots])
    heights = np.concatenate([squares, smallest / roots])
    centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(step)
    middles = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)[:, :, np.newaxis]
    half = np.stack([heights, widths], axis=-1) / np.float32(2)
    return np.concatenate([middles - half, middles + half], axis=-1).reshape(-1, 4)
