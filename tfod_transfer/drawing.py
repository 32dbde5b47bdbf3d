"""Draws boxes with class names and scores on pictures, and sets pictures side by side.

Text and lines grow with the picture, so draw on a picture at the size at which it will be looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tfod_transfer import lettering
from tfod_transfer.data.image_files import open_upright

__all__ = ["draw_boxes", "fit", "mosaic", "open_upright", "side_by_side"]

Color = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

_BLACK, _WHITE, _GROUND = (0, 0, 0), (255, 255, 255), (32, 32, 36)
# Bright, and far apart from each other for most kinds of colour vision.
_PALETTE: tuple[Color, ...] = (
    (255, 194, 10), (0, 190, 255), (255, 99, 132), (64, 220, 120), (190, 140, 255), (255, 140, 40),
    (0, 225, 205), (255, 90, 220), (170, 215, 50), (120, 160, 255), (255, 170, 170), (225, 225, 225),
)  # fmt: skip


def draw_boxes(
    image: Image.Image | npt.NDArray[np.uint8],
    boxes: npt.ArrayLike,
    labels: Sequence[str],
    scores: Sequence[float] | None = None,
    color_by_label: Mapping[str, Color] | None = None,
    colors: Sequence[Color] | None = None,
) -> Image.Image:
    """Returns a copy of a picture with boxes drawn on it.

    Args:
      image: RGB, upright; an array is uint8 [H, W, 3].
      boxes: [N, 4], normalised [ymin, xmin, ymax, xmax].
      labels: N names; nothing is written at a box whose name is empty.
      scores: N scores, written after the names.
      color_by_label: RGB for each name. Without it a name has the same colour in nearly all pictures, and no two names
        in one picture share a colour as long as there are no more than twelve.
      colors: N colours, in place of those by name.
    """
    canvas = (image if isinstance(image, Image.Image) else Image.fromarray(image)).convert("RGB").copy()
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]] * np.tile(canvas.size, 2)
    if colors is None:
        by_label = color_by_label or _distinct_colors(labels)
        colors = [by_label[label] for label in labels]
    size = _text_size(canvas)
    draw = ImageDraw.Draw(canvas)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    large_first = [int(row) for row in np.argsort(-areas, kind="stable")]
    for row in large_first:
        _outline(draw, corners[row], colors[row], max(2, round(size / 7)))
    taken: list[Rectangle] = []
    for row in reversed(large_first):  # small boxes have the least room for their names
        name = " ".join(labels[row].split())  # one line, whatever it holds
        if name:
            score = "" if scores is None else f" {scores[row]:.2f}"
            taken.append(_write(draw, canvas.size, corners[row], name, score, colors[row], size, taken))
    return canvas


def side_by_side(
    left: Image.Image, right: Image.Image, titles: tuple[str, str] = ("ground truth", "prediction")
) -> Image.Image:
    """Returns two pictures in one, each under its title."""
    size = _text_size(left)
    gap, bar = size // 2, 2 * size
    canvas = Image.new("RGB", (left.width + gap + right.width, bar + max(left.height, right.height)), _GROUND)
    draw = ImageDraw.Draw(canvas)
    for picture, title, x in ((left, titles[0], 0), (right, titles[1], left.width + gap)):
        canvas.paste(picture, (x, bar))
        text, font = lettering.fitted(title, "", size, picture.width)
        draw.text((x + gap, bar / 2), text, fill=_WHITE, font=font, anchor="lm")
    return canvas


def mosaic(images: Sequence[Image.Image], columns: int = 4, tile: int = 480) -> Image.Image:
    """Returns pictures in rows of `columns`, each scaled to fit a square of `tile` pixels.

    Raises:
      ValueError: there are no pictures.
    """
    if not images:
        raise ValueError("a mosaic needs at least one picture")
    fitted = [fit(image, tile) for image in images]
    rows = [fitted[start : start + columns] for start in range(0, len(fitted), columns)]
    heights = [max(image.height for image in row) for row in rows]
    gap = max(2, tile // 80)
    step = tile + gap
    canvas = Image.new("RGB", (len(rows[0]) * step + gap, sum(heights) + (len(rows) + 1) * gap), _GROUND)
    y = gap
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            x = gap + column * step + (tile - image.width) // 2
            canvas.paste(image, (x, y + (height - image.height) // 2))
        y += height + gap
    return canvas


def fit(image: Image.Image, tile: int) -> Image.Image:
    """Returns a picture scaled, up or down, so that its longer side has `tile` pixels."""
    scale = min(tile / image.width, tile / image.height)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _outline(draw: ImageDraw.ImageDraw, corners: npt.NDArray[np.float64], color: Color, width: int) -> None:
    """A coloured frame inside the box, and a thin dark one around it that sets it off from any background."""
    left, top, right, bottom = (float(value) for value in corners)
    right, bottom = max(right - 1, left), max(bottom - 1, top)
    thin = max(1, width // 3)
    draw.rectangle((left - thin, top - thin, right + thin, bottom + thin), outline=_BLACK, width=thin)
    draw.rectangle((left, top, right, bottom), outline=color, width=width)


def _write(
    draw: ImageDraw.ImageDraw,
    canvas: tuple[int, int],
    corners: npt.NDArray[np.float64],
    name: str,
    score: str,
    color: Color,
    size: int,
    taken: list[Rectangle],
) -> Rectangle:
    """Writes a name and its score beside its box, where they cover the fewest others, and returns the place."""
    margin = max(1, size // 6)
    text, font = lettering.fitted(name, score, size, canvas[0] - 2 * margin)
    width = draw.textlength(text, font=font) + 2 * margin
    height = 1.25 * size
    left, top, right, bottom = (float(value) for value in corners)
    wishes = [
        (left, top - height), (left, bottom), (right - width, top - height), (right - width, bottom),
        (left, top), (left, bottom - height),
    ]  # fmt: skip
    places = []
    for x, y in wishes:
        x, y = max(0.0, min(x, canvas[0] - width)), max(0.0, min(y, canvas[1] - height))
        places.append((x, y, x + width, y + height))
    place = min(places, key=lambda place: sum(_overlap(place, other) for other in taken))
    draw.rectangle(place, fill=color)
    ink = _BLACK if np.dot(color, (0.299, 0.587, 0.114)) > 128 else _WHITE
    draw.text((place[0] + margin, (place[1] + place[3]) / 2), text, fill=ink, font=font, anchor="lm")
    return place


def _overlap(a: Rectangle, b: Rectangle) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _distinct_colors(labels: Sequence[str]) -> dict[str, Color]:
    """A colour for each name: where its checksum points, or the next one that is free in this picture."""
    colors: dict[str, Color] = {}
    for label in sorted(set(labels)):
        start = zlib.crc32(label.encode()) % len(_PALETTE)
        wishes = [_PALETTE[(start + step) % len(_PALETTE)] for step in range(len(_PALETTE))]
        colors[label] = next((color for color in wishes if color not in colors.values()), wishes[0])
    return colors


def _text_size(image: Image.Image) -> int:
    """Height of text in pixels: readable at 320 pixels, in proportion from 640."""
    return max(12, round(0.018 * max(image.size)))
