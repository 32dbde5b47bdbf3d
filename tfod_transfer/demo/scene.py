"""How one image of the procedural data set is drawn: a background, distractors, shapes, and a camera's flaws."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from tfod_transfer.demo import outlines

Box = tuple[int, int, int, int]

MAX_OBJECTS = 6
EMPTY_SHARE = 0.06
OBJECT_SIZE = (0.12, 0.5)  # of the image's shorter side
MAX_OVERLAP = 0.15  # of the smaller of two boxes
PLACES_TO_TRY = 4
MAX_ASPECT = 1.6
# Distance in RGB between a shape and what lies under it: well below what plain colours on plain ground would have.
CONTRAST = (55.0, 190.0)
SUPERSAMPLING = 3
# A pixel belongs to a shape from this share of cover on.
COVERED = 0.25
_IS_COVERED = [255 * (alpha >= COVERED * 255) for alpha in range(256)]


@dataclasses.dataclass(frozen=True)
class DrawnImage:
    """One image with its boxes.

    Attributes:
      image: RGB.
      boxes_xyxy_px: M boxes [xmin, ymin, xmax, ymax] in pixels, xmax and ymax exclusive, inside the image.
      labels: M positions in the list of classes.
      jpeg_quality: what to save the image with.
    """

    image: Image.Image
    boxes_xyxy_px: tuple[Box, ...]
    labels: tuple[int, ...]
    jpeg_quality: int


def draw(classes: Sequence[str], seed: int, index: int, image_size: tuple[int, int]) -> DrawnImage:
    """Draws image number `index` of the data set `seed`; see shapes.generate for the arguments."""
    # The classes count too: sets to pretrain on and to transfer to have no background in common, whatever their seeds.
    rng = np.random.default_rng([seed, index, zlib.crc32(",".join(classes).encode())])
    image = _background(rng, _size(rng, image_size))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 7)):
        _distract(rng, pen, image.size)
    boxes, labels = _draw_objects(rng, image, classes)
    for _ in range(rng.integers(0, 3)):
        _stroke(rng, pen, image.size, max_width=2)
    return DrawnImage(_camera(rng, image), tuple(boxes), tuple(labels), int(rng.integers(40, 96)))


def _size(rng: np.random.Generator, image_size: tuple[int, int]) -> tuple[int, int]:
    """Returns (width, height); portrait as often as landscape."""
    low, high = image_size
    short = int(rng.integers(low, max(low, round(high / 1.25)) + 1))
    long = min(high, round(short * rng.uniform(1.0, MAX_ASPECT)))
    return (long, short) if rng.random() < 0.5 else (short, long)


def _field(rng: np.random.Generator, size: tuple[int, int], cells: int, channels: int) -> npt.NDArray[np.float32]:
    """Returns smooth noise in [0, 1], float32 [height, width, channels], with about `cells` bumps along a side."""
    grid = rng.integers(0, 256, (cells + 1, cells + 1, channels), np.uint8)
    smooth = Image.fromarray(grid[..., 0] if channels == 1 else grid).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32).reshape(size[1], size[0], channels) / np.float32(255)


def _background(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    width, height = size
    centre = rng.uniform(40, 215, 3).astype(np.float32)
    pixels = centre + rng.uniform(20, 130) * (_field(rng, size, int(rng.integers(1, 4)), 3) - 0.5)
    kind = rng.integers(0, 4)
    if kind == 0:  # clouds
        for cells in (6, 14, 40):
            pixels += rng.uniform(0, 60) * (_field(rng, size, cells, 1) - 0.5)
    elif kind == 1:  # stripes or, with a second set across, a weave
        across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        for _ in range(rng.integers(1, 3)):
            angle, period = rng.uniform(0, math.pi), rng.uniform(6, 60)
            wave = (across * math.cos(angle) + down * math.sin(angle)) * (2 * math.pi / period)
            stripes = np.sin(wave, dtype=np.float32) if rng.random() < 0.6 else np.sign(np.sin(wave, dtype=np.float32))
            pixels += (rng.uniform(4, 22) * stripes)[..., None]
    elif kind == 2:  # patches of colour
        steps = int(rng.integers(2, 5))
        patches = np.round(_field(rng, size, int(rng.integers(3, 9)), 3) * steps) / steps
        pixels += rng.uniform(10, 80) * (patches - 0.5)
    pixels += rng.uniform(0, 12) * (rng.random((height, width, 1), np.float32) - 0.5)  # grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _stroke(rng: np.random.Generator, pen: ImageDraw.ImageDraw, size: tuple[int, int], max_width: int) -> None:
    """A line of up to three legs."""
    points = rng.random((int(rng.integers(2, 5)), 2)) * size
    pen.line([(float(x), float(y)) for x, y in points], _colour(rng), int(rng.integers(1, max_width + 1)))


def _distract(rng: np.random.Generator, pen: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    """A stroke, an arc, or a blob that is none of the shapes."""
    kind = rng.integers(0, 3)
    if kind == 0:
        _stroke(rng, pen, size, max_width=5)
        return
    x, y = rng.random(2) * size
    radius = rng.uniform(0.03, 0.25) * min(size)
    if kind == 1:
        start = rng.uniform(0, 360)
        extent = (x - radius, y - radius, x + radius, y + radius)
        pen.arc(extent, start, start + rng.uniform(40, 200), _colour(rng), int(rng.integers(1, 5)))
    else:
        points = outlines.blob(rng) * radius + (x, y)
        pen.polygon([(float(px), float(py)) for px, py in points], _colour(rng))


def _draw_objects(rng: np.random.Generator, image: Image.Image, classes: Sequence[str]) -> tuple[list[Box], list[int]]:
    """Draws up to six shapes that overlap little, leaving out one that finds no room.

    Returns their boxes and their positions in `classes`.
    """
    boxes: list[Box] = []
    labels: list[int] = []
    if rng.random() < EMPTY_SHARE:
        return boxes, labels
    short = min(image.size)
    smallest, largest = OBJECT_SIZE
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        label = int(rng.integers(0, len(classes)))
        size = short * smallest * (largest / smallest) ** rng.random()
        mask = shape_mask(rng, classes[label], size)
        for _ in range(PLACES_TO_TRY):
            left, top = _place(rng, image.size, mask.size)
            box = visible_box(mask, left, top, image.size)
            if all(_overlap(box, other) <= MAX_OVERLAP for other in boxes):
                _paint(rng, image, mask, left, top, box)
                boxes.append(box)
                labels.append(label)
                break
    return boxes, labels


def _place(rng: np.random.Generator, image_size: tuple[int, int], mask_size: tuple[int, int]) -> tuple[int, int]:
    """A place for a mask's top left corner: inside, or up to a fifth of the mask beyond an edge."""
    spill = [0.2 * side if rng.random() < 0.15 else 0.0 for side in mask_size]
    left, top = (
        rng.uniform(-beyond, image_side - mask_side + beyond)
        for beyond, image_side, mask_side in zip(spill, image_size, mask_size, strict=True)
    )
    return round(left), round(top)


def shape_mask(rng: np.random.Generator, name: str, size: float) -> Image.Image:
    """Returns a grey image of how much of each pixel a shape covers; its longer side is `size` pixels, rounded up."""
    points = outlines.OUTLINES[name]
    angle, squeeze = rng.uniform(0, 2 * math.pi), rng.uniform(0.75, 1.0)
    rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = (points * (1.0, squeeze)) @ rotation
    points -= points.min(axis=0)
    points *= size / points.max()
    width, height = (math.ceil(side) for side in points.max(axis=0))
    mask = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    polygon = [(float(x), float(y)) for x, y in points * SUPERSAMPLING - 0.5]
    pen = ImageDraw.Draw(mask)
    if rng.random() < 0.25:
        line = max(2.0, size * rng.uniform(0.06, 0.12))
        pen.polygon(polygon, fill=0, outline=255, width=round(line * SUPERSAMPLING))
    else:
        pen.polygon(polygon, fill=255)
    return mask.reduce(SUPERSAMPLING)


def visible_box(mask: Image.Image, left: int, top: int, image_size: tuple[int, int]) -> Box:
    """The smallest [xmin, ymin, xmax, ymax] around a mask's covered pixels, laid at (left, top), inside the image."""
    width, height = image_size
    inside = mask.crop((max(0, -left), max(0, -top), min(mask.width, width - left), min(mask.height, height - top)))
    extent = inside.point(_IS_COVERED).getbbox()
    if extent is None:
        raise ValueError(f"a mask of {mask.size} at ({left}, {top}) shows nothing in an image of {image_size}")
    x, y = max(0, left), max(0, top)
    return extent[0] + x, extent[1] + y, extent[2] + x, extent[3] + y


def _overlap(one: Box, other: Box) -> float:
    """Intersection as a share of the smaller box."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0, width) * max(0, height) / smaller


def _paint(rng: np.random.Generator, image: Image.Image, mask: Image.Image, left: int, top: int, box: Box) -> None:
    """Fills a mask with a colour, a gradient or a texture that stands out from what lies under it, but not far."""
    under = np.asarray(image.crop(box).resize((1, 1), Image.Resampling.BOX), np.float32).reshape(3)
    candidates = rng.integers(0, 256, (24, 3)).astype(np.float32)
    distance = np.sqrt(np.square(candidates - under).sum(axis=1))
    colour = candidates[np.argmax((distance >= CONTRAST[0]) & (distance <= CONTRAST[1]))]
    cells = (0, 1, 5)[rng.integers(0, 3)]
    if cells:
        fill = colour + rng.uniform(10, 60) * (_field(rng, mask.size, cells, 3) - 0.5)
        paint = Image.fromarray(np.clip(fill, 0, 255).astype(np.uint8))
    else:
        paint = Image.new("RGB", mask.size, (int(colour[0]), int(colour[1]), int(colour[2])))
    opacity = rng.uniform(0.8, 1.0)
    image.paste(paint, (left, top), mask.point([round(alpha * opacity) for alpha in range(256)]))


def _camera(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Soft focus, light, and noise."""
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.2)))
    pixels = np.asarray(image, np.float32) * np.float32(rng.uniform(0.75, 1.15))
    if rng.random() < 0.6:
        pixels += np.float32(rng.uniform(4, 24)) * (rng.random(pixels.shape, np.float32) - np.float32(0.5))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
