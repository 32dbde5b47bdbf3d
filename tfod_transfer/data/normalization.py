"""How raw pixels become a network's input: one affine change for each channel, by the family of the backbone."""

from __future__ import annotations

# name -> (scale, offset) of the channels: network input = scale * raw + offset.
NORMALIZATIONS: dict[str, tuple[list[float], list[float]]] = {
    "symmetric": ([2.0 / 255.0] * 3, [-1.0] * 3),
    "mean_subtracted": ([1.0] * 3, [-123.68, -116.779, -103.939]),
    "standardized": (
        [1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)],
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    ),
}


def mean_color(normalization: str) -> list[float]:
    """Returns the raw RGB, 0..255, that becomes 0; `normalization` is a key of NORMALIZATIONS."""
    return [-offset / scale for scale, offset in zip(*NORMALIZATIONS[normalization], strict=True)]
