"""The outlines of the shapes, as polygons."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

# float64 [P, 2] corners (x, y) around the origin, in order; their scale does not matter.
Outline = npt.NDArray[np.float64]


def _regular(corners: int) -> Outline:
    return _arc(0.0, 2 * math.pi, corners + 1)[:-1]


def _arc(start: float, stop: float, points: int) -> Outline:
    angles = np.linspace(start, stop, points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> Outline:
    radius: Outline = np.tile([1.0, 0.42], 5)
    return _regular(10) * radius[:, None]


def _cross(arm: float = 0.32) -> Outline:
    quarter = np.array([(arm, arm), (arm, 1.0), (-arm, 1.0)])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, times) for times in range(4)])


def _crescent(tip: float = 0.8, offset: float = 0.6) -> Outline:
    """A disc less a disc: both pass through the tips at ±`tip` radians, the second is centred at x = `offset`."""
    tip_x, tip_y = math.cos(tip) - offset, math.sin(tip)
    angle = math.atan2(tip_y, tip_x)
    inner = _arc(2 * math.pi - angle, angle, 24)
    return np.concatenate([_arc(tip, 2 * math.pi - tip, 40), inner * math.hypot(tip_x, tip_y) + (offset, 0.0)])


def _arrow() -> Outline:
    upper = np.array([(-1.0, 0.22), (0.1, 0.22), (0.1, 0.62), (1.0, 0.0)])
    return np.concatenate([upper, upper[-2::-1] * (1.0, -1.0)])


OUTLINES: dict[str, Outline] = {
    "circle": _regular(48),
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _star(),
    "cross": _cross(),
    "hexagon": _regular(6),
    "crescent": _crescent(),
    "arrow": _arrow(),
}


def blob(rng: np.random.Generator) -> Outline:
    """Returns a smooth, irregular outline within 1.6 of the origin that is none of the shapes."""
    circle = _regular(36)
    angles = np.arctan2(circle[:, 1], circle[:, 0])
    radius = np.ones(len(circle))
    for waves in (2, 3):
        radius += rng.uniform(0.1, 0.3) * np.cos(waves * angles + rng.uniform(0, 2 * math.pi))
    return circle * radius[:, None]
