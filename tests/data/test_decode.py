from __future__ import annotations

import io
import pathlib
import struct
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tfod_transfer.data import decode

BYTES = tf.TensorSpec([], tf.string)
ORIENTATION = 0x0112

decode_in_graph = tf.function(decode.decode_image, input_signature=[BYTES])
orientation_in_graph = tf.function(decode.exif_orientation, input_signature=[BYTES])


def photograph(height: int = 24, width: int = 40) -> Image.Image:
    """Smooth colours, different at each corner, so that lossy formats stay close and every turn shows."""
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    return Image.fromarray(np.stack([255 * x, 255 * y, 255 * (1 - x) * y], -1).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_alpha() -> Image.Image:
    image = photograph()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.arange(24 * 40, dtype=np.uint16).reshape(24, 40) * 60)


FILES = {
    "jpeg": encoded(photograph(), "JPEG", quality=95),
    "progressive jpeg": encoded(photograph(), "JPEG", quality=95, progressive=True),
    "gray jpeg": encoded(photograph().convert("L"), "JPEG", quality=95),
    "cmyk jpeg": encoded(photograph().convert("CMYK"), "JPEG", quality=95),
    "png": encoded(photograph(), "PNG"),
    "gray png": encoded(photograph().convert("L"), "PNG"),
    "one bit png": encoded(photograph().convert("1"), "PNG"),
    "gray and alpha png": encoded(with_alpha().convert("LA"), "PNG"),
    "alpha png": encoded(with_alpha(), "PNG"),
    "palette png": encoded(photograph().quantize(16), "PNG"),
    "palette and transparency png": encoded(photograph().quantize(16), "PNG", transparency=3),
    "bmp": encoded(photograph(), "BMP"),
    "gif": encoded(photograph().quantize(16), "GIF"),
    "animated gif": encoded(
        photograph().quantize(16), "GIF", save_all=True, append_images=[photograph().rotate(180).quantize(16)]
    ),
}


@pytest.mark.parametrize("contents", FILES.values(), ids=FILES.keys())
def test_decode_image_gives_what_pillow_gives(contents: bytes) -> None:
    expected = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"), np.int32)
    for function in (decode.decode_image, decode_in_graph):
        image = function(tf.constant(contents))
        assert image.dtype == tf.uint8
        assert image.shape == expected.shape
        assert (
            np.abs(image.numpy().astype(np.int32) - expected).mean() < 3
        )  # two decoders of one JPEG round differently


def test_decode_image_keeps_the_upper_byte_of_sixteen_bits() -> None:
    image = decode.decode_image(encoded(sixteen_bits(), "PNG")).numpy()
    np.testing.assert_array_equal(image, np.repeat(np.asarray(sixteen_bits())[..., None] >> 8, 3, axis=-1))


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html><body>404</body></html>", id="html"),
        pytest.param(FILES["jpeg"][:400], id="half a jpeg"),
        pytest.param(FILES["png"][:-40], id="cut png"),
        pytest.param(encoded(photograph(), "TIFF"), id="tiff"),
    ],
)
def test_decode_image_refuses(contents: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode.decode_image(tf.constant(contents))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orient_does_what_pillow_does(orientation: int) -> None:
    image = photograph(3, 5)
    image.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    for function in (decode.orient, tf.function(decode.orient)):
        upright = function(tf.constant(np.asarray(image)), tf.constant(orientation))
        np.testing.assert_array_equal(upright, expected)


@pytest.mark.parametrize("orientation", [-1, 0, 9, 300])
def test_orient_leaves_an_image_of_unknown_orientation(orientation: int) -> None:
    image = np.asarray(photograph(3, 5))
    np.testing.assert_array_equal(decode.orient(tf.constant(image), tf.constant(orientation)), image)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def tiff(entries: list[tuple[int, int, int]], order: str = "II", magic: int = 42) -> bytes:
    """A TIFF header and one directory of (tag, type, value)."""
    sign = "<" if order == "II" else ">"
    directory = struct.pack(sign + "H", len(entries))
    for tag, kind, value in entries:
        field = struct.pack(sign + ("I" if kind == 4 else "HH"), *((value,) if kind == 4 else (value, 0)))
        directory += struct.pack(sign + "HHI", tag, kind, 1) + field
    return order.encode() + struct.pack(sign + "HI", magic, 8) + directory


def exif(entries: list[tuple[int, int, int]], order: str = "II", magic: int = 42) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(entries, order, magic))


SOI, SOS = b"\xff\xd8", segment(0xDA, bytes(6)) + bytes(50) + b"\xff\xd9"
JFIF = segment(0xE0, b"JFIF\0" + bytes(9))
SIX = [(ORIENTATION, 3, 6)]

JPEGS = [
    pytest.param(SOI + exif(SIX) + SOS, 6, id="little-endian"),
    pytest.param(SOI + exif(SIX, "MM") + SOS, 6, id="big-endian"),
    pytest.param(SOI + exif([(ORIENTATION, 4, 8)], "MM") + SOS, 8, id="as a long"),
    pytest.param(SOI + exif([(0x10F, 3, 1), (0x110, 3, 2), *SIX]) + SOS, 6, id="behind other tags"),
    pytest.param(SOI + JFIF + exif(SIX) + SOS, 6, id="behind a JFIF header"),
    pytest.param(SOI + segment(0xE2, bytes(65000)) * 3 + exif(SIX) + SOS, 6, id="behind a long colour profile"),
    pytest.param(SOI + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + tiff(SIX)) + SOS, 1, id="only in XMP"),
    pytest.param(SOI + b"\xff\xff\xff" + exif(SIX) + SOS, 6, id="behind fill bytes"),
    pytest.param(SOI + b"junk" + exif(SIX) + SOS, 6, id="behind junk"),
    pytest.param(SOI + b"\xff\x01\xff\xd0" + exif(SIX) + SOS, 6, id="behind markers without length"),
    pytest.param(SOI + SOS + exif(SIX), 1, id="behind the pixels"),
    pytest.param(SOI + b"\0" + exif(SIX)[1:] + SOS, 1, id="in junk"),
    pytest.param(SOI + JFIF + SOS, 1, id="no EXIF"),
    pytest.param(SOI + exif([]) + SOS, 1, id="no tags"),
    pytest.param(SOI + exif([(0x113, 3, 6)]) + SOS, 1, id="another tag"),
    pytest.param(SOI + exif([(ORIENTATION, 3, 0)]) + SOS, 1, id="zero"),
    pytest.param(SOI + exif([(ORIENTATION, 3, 9)]) + SOS, 1, id="nine"),
    pytest.param(SOI + exif([(ORIENTATION, 2, 6)]) + SOS, 1, id="as text"),
    pytest.param(SOI + exif(SIX, magic=43) + SOS, 1, id="not TIFF"),
    pytest.param(SOI + exif(SIX, "II").replace(b"II", b"XX") + SOS, 1, id="unknown byte order"),
    pytest.param(SOI + segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff") + SOS, 1, id="directory far outside"),
    pytest.param(SOI + segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff") + SOS, 1, id="more tags than bytes"),
    pytest.param(b"\x89PNG\r\n\x1a\n" + exif(SIX), 1, id="not a JPEG"),
    pytest.param(b"", 1, id="empty"),
    pytest.param(SOI, 1, id="start of image only"),
]


@pytest.mark.parametrize(("contents", "orientation"), JPEGS)
def test_exif_orientation(contents: bytes, orientation: int) -> None:
    assert decode.exif_orientation(tf.constant(contents)).numpy() == orientation
    assert orientation_in_graph(tf.constant(contents)).numpy() == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_pillow_writes_it(orientation: int) -> None:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    contents = encoded(photograph(), "JPEG", exif=tags)
    assert orientation_in_graph(tf.constant(contents)).numpy() == orientation


@given(cut=st.integers(0, 80), noise=st.binary(max_size=40), place=st.integers(2, 60))
@settings(max_examples=300, deadline=None)
def test_exif_orientation_of_a_damaged_file_is_an_orientation(cut: int, noise: bytes, place: int) -> None:
    whole = SOI + exif([(0x10F, 3, 1), *SIX]) + SOS
    damaged = (whole[:place] + noise + whole[place + len(noise) :])[: len(whole) - cut]
    assert 1 <= orientation_in_graph(tf.constant(damaged)).numpy() <= 8


def test_real_jpegs_are_turned_as_pillow_turns_them(shared: Callable[[str], pathlib.Path]) -> None:
    """Every JPEG of the awkward files that both can read; other formats carry no orientation here."""
    turned, differing = 0, []
    for path in sorted(shared("data/awkward/images").iterdir()):
        contents = path.read_bytes()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.open(io.BytesIO(contents))
                upright = ImageOps.exif_transpose(image).convert("RGB")
            decoded = decode.decode_image(tf.constant(contents))
        except (OSError, ValueError, Image.DecompressionBombError, tf.errors.OpError):
            continue
        if image.format not in ("JPEG", "MPO"):
            continue
        orientation = orientation_in_graph(tf.constant(contents))
        turned += int(orientation > 1)
        actual = decode.orient(decoded, orientation).numpy().astype(np.int32)
        expected = np.asarray(upright, np.int32)
        if actual.shape != expected.shape or np.abs(actual - expected).mean() > 3:
            differing.append(path.name)
    assert differing == []
    assert turned >= 14


def test_all_of_it_can_be_exported(tmp_path: pathlib.Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def sizes(contents: tf.Tensor) -> tf.Tensor:
        def size(one: tf.Tensor) -> tf.Tensor:
            return tf.shape(decode.orient(decode.decode_image(one), decode.exif_orientation(one)))

        return tf.map_fn(size, contents, fn_output_signature=tf.int32)

    module = tf.Module()
    module.sizes = sizes
    tf.saved_model.save(module, tmp_path)
    tags = Image.Exif()
    tags[ORIENTATION] = 6
    contents = [encoded(photograph(), "JPEG", exif=tags), FILES["palette png"]]
    assert tf.saved_model.load(tmp_path).sizes(contents).numpy().tolist() == [[40, 24, 3], [24, 40, 3]]
