"""Boxes, names and scores on pictures, and pictures side by side."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tfod_transfer import drawing

GRAY = (100, 100, 100)
RED = (255, 0, 0)
BOX = [[0.25, 0.5, 0.75, 1.0]]


def plain(width: int = 320, height: int = 240) -> Image.Image:
    return Image.new("RGB", (width, height), GRAY)


def has_color(image: Image.Image, area: tuple[float, float, float, float], color: tuple[int, int, int]) -> bool:
    """Whether a pixel of the normalised [ymin, xmin, ymax, xmax] has this colour."""
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    rows = slice(round(area[0] * height), round(area[2] * height))
    part = pixels[rows, round(area[1] * width) : round(area[3] * width)]
    return bool((part == color).all(axis=-1).any())


@pytest.mark.parametrize("size", [(320, 240), (4000, 3000)])
def test_a_box_is_a_frame_at_its_place(size: tuple[int, int]) -> None:
    drawn = drawing.draw_boxes(plain(*size), BOX, ["cat"], color_by_label={"cat": RED})
    assert has_color(drawn, (0.45, 0.49, 0.55, 0.53), RED)  # left side
    assert has_color(drawn, (0.73, 0.6, 0.76, 0.9), RED)  # bottom
    assert not has_color(drawn, (0.4, 0.6, 0.6, 0.9), RED)  # middle
    assert drawn.getpixel((size[0] // 8, size[1] // 2)) == GRAY


def test_the_picture_given_stays_as_it_is() -> None:
    image = plain()
    drawn = drawing.draw_boxes(image, BOX, ["cat"])
    assert drawn is not image
    assert image.getcolors() == [(320 * 240, GRAY)]


def test_an_array_is_taken_too() -> None:
    from_array = drawing.draw_boxes(np.asarray(plain()), BOX, ["cat"], [0.5])
    assert np.array_equal(from_array, drawing.draw_boxes(plain(), BOX, ["cat"], [0.5]))


def test_no_boxes_draw_nothing() -> None:
    assert np.array_equal(drawing.draw_boxes(plain(), [], []), plain())


@pytest.mark.parametrize(("width", "height"), [(320, 240), (4000, 3000)])
def test_names_grow_with_the_picture(width: int, height: int) -> None:
    drawn = np.asarray(drawing.draw_boxes(plain(width, height), BOX, ["a name"], color_by_label={"a name": RED}))
    # The name stands in a filled bar over the box: rows in which a good part of the box's width is red.
    red = (drawn[: height // 4 - height // 100, width // 2 :] == RED).all(axis=-1)
    bar = int((red.mean(axis=1) > 0.05).sum())
    assert max(12, 0.014 * width) <= bar <= max(20, 0.03 * width)


def test_the_score_makes_the_name_longer() -> None:
    def width(scores: list[float] | None) -> int:
        drawn = drawing.draw_boxes(plain(), [[0.5, 0.1, 0.9, 0.15]], ["cat"], scores, {"cat": RED})
        return int((np.asarray(drawn)[: 240 // 2 - 8] == RED).all(axis=-1).any(axis=0).sum())

    assert width([0.93]) > width(None) + 10


@pytest.mark.parametrize(
    "box", [[0, 0, 0.2, 0.2], [0, 0, 1, 1], [0.9, 0.9, 1, 1], [0.5, 0.5, 0.5, 0.5], [-1, -1, 2, 2]]
)
def test_names_at_the_rim_stay_inside(box: list[float]) -> None:
    drawn = drawing.draw_boxes(plain(), [box], ["a rather long name"], [1.0], {"a rather long name": RED})
    assert int((np.asarray(drawn) == RED).all(axis=-1).sum()) > 300


def test_names_of_near_boxes_do_not_cover_each_other() -> None:
    boxes = [[0.4, 0.4, 0.8, 0.8], [0.41, 0.41, 0.81, 0.81], [0.4, 0.42, 0.82, 0.8]]
    colors = {"one": (255, 0, 0), "two": (0, 255, 0), "three": (0, 0, 255)}
    together = np.asarray(drawing.draw_boxes(plain(), boxes, list(colors), color_by_label=colors))
    for row, (name, color) in enumerate(colors.items()):
        alone = np.asarray(drawing.draw_boxes(plain(), boxes[row : row + 1], [name], color_by_label=colors))
        bar = int((alone == color).all(axis=-1).sum())
        assert int((together == color).all(axis=-1).sum()) > 0.6 * bar


def test_labels_of_one_picture_have_different_colours_and_keep_them() -> None:
    labels = [f"class {index}" for index in range(12)]
    colors = drawing._distinct_colors(labels)
    assert len(set(colors.values())) == 12
    assert drawing._distinct_colors(labels[::-1]) == colors
    assert set(drawing._distinct_colors([f"class {index}" for index in range(40)])) >= set(labels)


@pytest.mark.parametrize("label", ["Žluťoučký kůň", "Кошка", "袋鼠", "", "a\nb", "x" * 200])
def test_any_name_can_be_drawn(label: str) -> None:
    assert drawing.draw_boxes(plain(), BOX, [label]).size == (320, 240)


def test_colours_can_be_given_box_by_box_and_an_empty_name_is_not_written() -> None:
    boxes = [[0.3, 0.1, 0.7, 0.4], [0.3, 0.6, 0.7, 0.9]]
    drawn = drawing.draw_boxes(plain(), boxes, ["", ""], colors=[RED, (0, 255, 0)])
    assert has_color(drawn, (0.3, 0.08, 0.7, 0.42), RED)
    assert has_color(drawn, (0.3, 0.58, 0.7, 0.92), (0, 255, 0))
    assert not has_color(drawn, (0.3, 0.58, 0.7, 0.92), RED)
    assert not has_color(drawn, (0.0, 0.0, 0.28, 1.0), RED)  # where the names would be


def test_side_by_side() -> None:
    both = drawing.side_by_side(Image.new("RGB", (320, 240), RED), plain(), ("left", "right"))
    assert both.width > 640
    assert both.height > 240
    assert has_color(both, (0.5, 0.0, 0.9, 0.45), RED)
    assert not has_color(both, (0.5, 0.55, 0.9, 1.0), RED)
    assert has_color(both, (0.5, 0.55, 0.9, 1.0), GRAY)


@pytest.mark.parametrize(
    ("count", "columns", "size"),
    [(1, 4, (104, 79)), (4, 4, (410, 79)), (5, 4, (410, 156)), (3, 1, (104, 233))],
)
def test_mosaic_size(count: int, columns: int, size: tuple[int, int]) -> None:
    assert drawing.mosaic([plain()] * count, columns, tile=100).size == size


def test_mosaic_keeps_shapes_and_order() -> None:
    tall, wide = Image.new("RGB", (10, 1000), RED), Image.new("RGB", (1000, 10), (0, 255, 0))
    picture = np.asarray(drawing.mosaic([tall, wide], 2, tile=100))
    red, green = (picture == RED).all(axis=-1), (picture == (0, 255, 0)).all(axis=-1)
    assert (int(red.any(axis=1).sum()), int(red.any(axis=0).sum())) == (100, 1)
    assert (int(green.any(axis=1).sum()), int(green.any(axis=0).sum())) == (1, 100)
    assert np.nonzero(red)[1].max() < np.nonzero(green)[1].min()


def test_an_empty_mosaic_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        drawing.mosaic([])
