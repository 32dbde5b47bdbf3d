"""Which picture boxes were drawn in: upright, as stored, of another size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from tfod_transfer.data import frames
from tfod_transfer.data.image_files import ImageHeader


def resolve(*images: tuple[tuple[int, int, int], tuple[int, int]]) -> frames.Frames:
    """Each image: ((stored width, stored height, orientation), stated (width, height))."""
    headers = [ImageHeader("JPEG", *image) for image, _ in images]
    stated = np.array([(height, width) for _, (width, height) in images], np.int64).reshape(-1, 2)
    return frames.resolve([f"{index}.jpg" for index in range(len(images))], headers, stated)


@pytest.mark.parametrize(
    ("image", "stated", "frame", "box_orientation", "reason"),
    [
        pytest.param((640, 480, 1), (640, 480), (480, 640), 1, None, id="all agree"),
        pytest.param((640, 480, 6), (480, 640), (640, 480), 1, None, id="turned, stated upright"),
        pytest.param((640, 480, 6), (640, 480), (480, 640), 6, "not_upright", id="turned, stated as stored"),
        pytest.param((640, 480, 3), (640, 480), (480, 640), 1, None, id="upside down, sizes agree"),
        pytest.param((480, 480, 8), (480, 480), (480, 480), 1, None, id="square, turned"),
        pytest.param((640, 480, 1), (0, 0), (480, 640), 1, None, id="no size stated"),
        pytest.param((640, 480, 6), (0, 0), (640, 480), 1, None, id="no size stated, turned"),
        pytest.param((640, 480, 1), (1280, 960), (960, 1280), 1, "other_size", id="drawn on a larger copy"),
        pytest.param((640, 480, 1), (640, 479), (479, 640), 1, "other_size", id="a row less"),
        pytest.param((640, 480, 6), (960, 1280), (1280, 960), 1, "other_size", id="turned, on a larger upright copy"),
        pytest.param((640, 480, 1), (480, 640), None, 1, "size_mismatch", id="width and height swapped"),
        pytest.param((640, 480, 1), (640, 640), None, 1, "size_mismatch", id="another shape"),
    ],
)
def test_frame_of_an_image(
    image: tuple[int, int, int],
    stated: tuple[int, int],
    frame: tuple[int, int] | None,
    box_orientation: int,
    reason: str | None,
) -> None:
    found = resolve((image, stated))
    assert [finding.reason for finding in found.findings] == ([reason] if reason else [])
    assert found.usable.tolist() == [frame is not None]
    assert found.box_orientations.tolist() == [box_orientation]
    if frame:
        assert found.sizes.tolist() == [list(frame)]


def test_swapped_sides_are_called_so() -> None:
    swapped, other = resolve(((640, 480, 1), (480, 640)), ((640, 480, 1), (640, 640))).findings
    assert "look swapped" in swapped.message
    assert "look swapped" not in other.message


def test_images_whose_size_cannot_tell_are_treated_as_those_whose_size_can() -> None:
    turned_as_stored = ((640, 480, 6), (640, 480))
    turned_upright = ((640, 480, 6), (480, 640))
    upside_down = ((640, 480, 3), (640, 480))
    assert resolve(turned_as_stored, upside_down).box_orientations.tolist() == [6, 3]
    assert resolve(turned_upright, upside_down).box_orientations.tolist() == [1, 1]
    assert resolve(turned_as_stored, turned_upright, upside_down).box_orientations.tolist() == [6, 1, 1]


def white_extent(image: Image.Image) -> npt.NDArray[np.float64]:
    """Normalised [ymin, xmin, ymax, xmax] of what is white."""
    rows, columns = np.nonzero(np.asarray(image) == 255)
    return np.array(
        [
            rows.min() / image.height,
            columns.min() / image.width,
            (rows.max() + 1) / image.height,
            (columns.max() + 1) / image.width,
        ]
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_pillow_turns_pixels(orientation: int) -> None:
    stored = Image.new("L", (60, 40))
    stored.paste(255, (6, 4, 30, 12))  # off every axis of symmetry
    stored.getexif()[0x0112] = orientation
    expected = white_extent(ImageOps.exif_transpose(stored))
    turned = frames.boxes_to_upright(white_extent(stored)[None], np.array([orientation], np.uint8))
    np.testing.assert_allclose(turned[0], expected, atol=1e-12)


def test_each_box_turns_with_its_own_picture() -> None:
    box = np.array([0.1, 0.2, 0.3, 0.5])
    turned = frames.boxes_to_upright(np.tile(box, (3, 1)), np.array([1, 3, 6], np.uint8))
    np.testing.assert_allclose(turned, [box, [0.7, 0.5, 0.9, 0.8], [0.2, 0.7, 0.5, 0.9]])
