"""Batches with anything in them: each image answers for itself."""

from __future__ import annotations

import base64
import csv
import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from made_images import encoded
from PIL import Image

from tfod_transfer import registry
from tfod_transfer.data import decode, resize
from tfod_transfer.serving import image_kinds, tolerant

DEMO = registry.load_registry().get("tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes")
SPEC = dataclasses.replace(DEMO, input_size=32, resizer="keep_aspect_ratio")
MAX_PIXELS = 6000
NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)  # 5400 pixels
LARGE = np.random.default_rng(1).integers(0, 256, (80, 90, 3)).astype(np.uint8)  # 7200
JPEG, PNG = encoded(NOISE, "JPEG"), encoded(NOISE, "PNG")
FRAMES = [Image.fromarray(NOISE), Image.fromarray(NOISE[::-1].copy())]

BAD = {
    "empty": (b"", "the image is empty: 0 bytes"),
    "garbage": (b"\x00\x01garbage" * 50, "this is no image; send a JPEG or PNG file"),
    "one byte": (b"\xff", "this is no image; send a JPEG or PNG file"),
    "text": ("<html>nö</html>".encode(), "this is no image; send a JPEG or PNG file"),
    "base64 JPEG": (base64.b64encode(JPEG), "this is base64 text, not the image"),
    "base64 PNG": (base64.b64encode(PNG), "this is base64 text, not the image"),
    "data URL": (b"data:image/png;base64," + base64.b64encode(PNG), "this is base64 text, not the image"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "this JPEG image is damaged or incomplete"),
    "half a PNG": (PNG[: len(PNG) // 2], "this PNG image is damaged or incomplete"),
    "JPEG signature alone": (b"\xff\xd8\xff", "this JPEG image is damaged or incomplete"),
    "PNG signature alone": (PNG[:8], "this PNG image is damaged or incomplete"),
    "half a GIF": (encoded(NOISE, "GIF")[:200], "this GIF image does not decode; send it as JPEG or PNG"),
    "TIFF": (encoded(NOISE, "TIFF"), "this is a TIFF image; send it as JPEG or PNG"),
    "large JPEG": (encoded(LARGE, "JPEG"), "7200 pixels are more than the 6000 that this model decodes"),
    "large PNG": (encoded(LARGE, "PNG"), "7200 pixels are more than the 6000"),
    "large GIF": (encoded(LARGE, "GIF"), "7200 pixels are more than the 6000"),
    "large BMP": (encoded(LARGE, "BMP"), "7200 pixels are more than the 6000"),
    "large WebP": (encoded(LARGE, "WEBP"), "7200 pixels are more than the 6000"),
    "GIF of two frames": (
        encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
        "10800 pixels are more than the 6000",
    ),
}
GOOD = {"JPEG": JPEG, "PNG": PNG, "GIF": encoded(NOISE, "GIF"), "BMP": encoded(NOISE, "BMP")}


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def prepare(image_bytes: tf.Tensor) -> tolerant.Prepared:
    return tolerant.prepare(image_bytes, SPEC, MAX_PIXELS)


def alone(contents: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The image and its window as training and evaluation make them."""
    image = decode.orient(decode.decode_image(contents), decode.exif_orientation(contents))
    size = tf.shape(image)[:2]
    return resize.resize(image, SPEC).numpy(), resize.windows(size, SPEC).numpy(), size.numpy().tolist()


def test_bad_images_say_what_is_wrong_and_leave_the_good_ones_alone() -> None:
    batch = [image for bad, _ in BAD.values() for image in (bad, *GOOD.values())]
    images, windows, sizes, status = (each.numpy() for each in prepare(tf.constant(batch)))
    expected = {name: alone(contents) for name, contents in GOOD.items()}
    for number, (name, (_, sentence)) in enumerate(BAD.items()):
        first = number * (1 + len(GOOD))
        assert status[first].decode().startswith(sentence), name
        assert not images[first].any(), name
        assert windows[first].tolist() == [0, 0, 1, 1], name
        assert sizes[first].tolist() == [0, 0], name
        for place, kind in enumerate(GOOD, first + 1):
            assert status[place] == b"", (name, kind)
            np.testing.assert_array_equal(images[place], expected[kind][0])
            np.testing.assert_array_equal(windows[place], expected[kind][1])
            assert sizes[place].tolist() == expected[kind][2]


@pytest.mark.parametrize("batch", [[b""], [b"", b"x"], []], ids=["one", "two", "none at all"])
def test_a_batch_without_a_good_image(batch: list[bytes]) -> None:
    images, windows, sizes, status = prepare(tf.constant(batch, tf.string, [len(batch)]))
    assert images.shape == (len(batch), 32, 32, 3)
    assert windows.shape == (len(batch), 4)
    assert sizes.shape == (len(batch), 2)
    assert all(status.numpy().tolist())
    assert status.shape == (len(batch),)


MAGIC = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM",
    b"RIFF\0\0\0\0WEBPVP8X",
    *(x[:60] for x in GOOD.values()),
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MAGIC), st.binary(max_size=60)), min_size=1, max_size=6))
def test_no_bytes_fail(parts: list[tuple[bytes, bytes]]) -> None:
    batch = [start + rest for start, rest in parts]
    images, _, _, status = prepare(tf.constant([*batch, PNG]))
    assert status[-1] == b""
    assert images.shape[0] == len(batch) + 1
    for sentence in status.numpy()[:-1]:
        sentence.decode()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),  # the extended form
    ],
)
def test_pixels_are_read_from_the_head(kind: str, options: dict[str, object]) -> None:
    sizes = [(1, 1), (90, 60), (257, 301), (1000, 2)]
    batch = [encoded(Image.new("RGB", size), kind, **options) for size in sizes]
    assert image_kinds.look_at(tf.constant(batch)).pixels.numpy().tolist() == [w * h for w, h in sizes]


@pytest.mark.golden  # 102 files, half a minute
def test_awkward_files(shared: Callable[[str], pathlib.Path]) -> None:
    """Every file that TensorFlow decodes is found between two that are nothing; every other one is answered."""
    folder = shared("data/awkward")
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    with next(folder.glob("MANIFEST*")).open(encoding="utf-8", newline="") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [row["file"] for row in rows]
    contents = [files[name].read_bytes() for name in names]
    is_webp = [row["pil"].startswith("WEBP") for row in rows]  # some versions of TensorFlow decode it
    is_bomb = ["DecompressionBomb" in row["pil"] for row in rows]
    decodes = [bool(row["decode_image(ch=3)"]) and "ERR" not in row["decode_image(ch=3)"] for row in rows]
    batch = [each for image in contents for each in (image, b"garbage")]
    found = tolerant.prepare(tf.constant(batch), SPEC, 50_000_000)
    images, status = found.images.numpy(), found.status.numpy()
    assert set(status[1::2]) == {b"this is no image; send a JPEG or PNG file"}
    good = 0
    for name, image, text, good_one, webp, bomb, file in zip(
        names, images[::2], status[::2], decodes, is_webp, is_bomb, contents, strict=True
    ):
        if webp:
            assert text == b"" or b"WebP" in text, name
        elif good_one and not bomb:
            assert text == b"", name
            np.testing.assert_array_equal(image, alone(file)[0], err_msg=name)
            good += 1
        else:
            assert text, name
            assert not image.any(), name
    assert good > 60
