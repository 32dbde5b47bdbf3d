"""Types by magic bytes, pixel caps, orientation, and pictures to look at."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from tfod_transfer.data import image_files
from tfod_transfer.data.image_files import ImageHeader, ImageProblem


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def saved(path: pathlib.Path, image: Image.Image, file_format: str, orientation: int | None = None) -> str:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(path, format=file_format, exif=exif)
    return str(path)


@pytest.mark.parametrize(
    ("file_format", "expected"),
    [("JPEG", "JPEG"), ("PNG", "PNG"), ("GIF", "GIF"), ("BMP", "BMP"), ("WEBP", "WebP"), ("TIFF", "TIFF")],
)
def test_sniff_knows_a_format_by_its_bytes(file_format: str, expected: str) -> None:
    buffer = io.BytesIO()
    picture(8, 8).save(buffer, file_format)
    assert image_files.sniff(buffer.getvalue()[:16]) == expected


@pytest.mark.parametrize("head", [b"", b"\xff\xd8", b"<html>", b"version https://git-lfs", b"\x89PNG"])
def test_sniff_knows_what_is_no_image(head: bytes) -> None:
    assert image_files.sniff(head) is None


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_header_has_size_as_stored_and_orientation(
    tmp_path: pathlib.Path, file_format: str, orientation: int | None
) -> None:
    path = saved(tmp_path / "image", picture(30, 20), file_format, orientation)
    header = image_files.check_images([path])[0]
    applied, other = (orientation or 1, 1) if file_format == "JPEG" else (1, orientation or 1)
    assert header == ImageHeader(file_format, 30, 20, applied, other)
    assert header.upright_size == ((30, 20) if applied >= 5 else (20, 30))


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_means_upright(tmp_path: pathlib.Path, orientation: int) -> None:
    path = saved(tmp_path / "image.jpg", picture(30, 20), "JPEG", orientation)
    assert image_files.check_images([path])[0] == ImageHeader("JPEG", 30, 20, 1)


@pytest.mark.parametrize(
    ("max_pixels", "accepted"),
    [(600, True), (599, False)],
)
def test_pixel_cap_is_inclusive(tmp_path: pathlib.Path, max_pixels: int, accepted: bool) -> None:
    path = saved(tmp_path / "image.png", picture(30, 20), "PNG")
    found = image_files.check_images([path], max_pixels=max_pixels)[0]
    assert isinstance(found, ImageHeader) == accepted
    if not accepted:
        assert (found.reason, found.value) == ("too_many_pixels", [20, 30])  # type: ignore[union-attr]


def test_an_image_over_the_cap_is_not_decoded(tmp_path: pathlib.Path) -> None:
    content = (tmp_path / "whole.png", picture(300, 200))
    whole = pathlib.Path(saved(*content, "PNG")).read_bytes()
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole[: len(whole) // 2])
    assert image_files.check_images([str(cut)], max_pixels=100)[0].reason == "too_many_pixels"  # type: ignore[union-attr]
    assert image_files.check_images([str(cut)])[0].reason == "broken_image"  # type: ignore[union-attr]


def test_pillows_own_cap_is_as_it_was_afterwards(tmp_path: pathlib.Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    image_files.check_images([saved(tmp_path / "image.png", picture(3, 2), "PNG")])
    assert before == Image.MAX_IMAGE_PIXELS


def test_missing_file_and_folder_are_problems(tmp_path: pathlib.Path) -> None:
    missing, folder = image_files.check_images([str(tmp_path / "no.jpg"), str(tmp_path)])
    assert isinstance(missing, ImageProblem)
    assert missing.reason == "missing_image"
    assert isinstance(folder, ImageProblem)
    assert folder.reason == "unreadable_image"


def test_problem_with_names_the_file(tmp_path: pathlib.Path) -> None:
    good = saved(tmp_path / "good.jpg", picture(3, 2), "JPEG")
    assert image_files.problem_with(good) is None
    problem = image_files.problem_with(str(tmp_path / "no.jpg"))
    assert problem is not None
    assert "no.jpg: the image file does not exist" in problem


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_mode_opens_as_rgb(tmp_path: pathlib.Path, mode: str) -> None:
    image = picture(30, 20, "L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image, np.uint16) * 257)
    path = saved(tmp_path / "image", image, "JPEG" if mode == "CMYK" else "PNG")
    opened = image_files.open_upright(path)
    assert (opened.mode, opened.size) == ("RGB", (30, 20))
    assert 60 < np.asarray(opened).mean() < 195  # neither clipped to white nor lost in black


def test_open_upright_turns_and_shrinks(tmp_path: pathlib.Path) -> None:
    image = Image.new("RGB", (400, 200))
    image.paste((255, 255, 255), (0, 0, 200, 200))  # left half white; orientation 6 makes it the upper half
    path = saved(tmp_path / "image.jpg", image, "JPEG", 6)
    opened = image_files.open_upright(path, max_side=100)
    assert opened.size == (50, 100)
    pixels = np.asarray(opened)
    assert pixels[:45].mean() > 250
    assert pixels[55:].mean() < 5
