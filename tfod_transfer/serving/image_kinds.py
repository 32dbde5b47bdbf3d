"""What encoded images are by their first bytes, in plain TensorFlow ops that fail on no bytes whatever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfod_transfer.data.image_files import MAGIC

_HEAD = 32  # bytes that are looked at
#: What TensorFlow decodes; of the others it can only be said what they are.
DECODED = ("JPEG", "PNG", "GIF", "BMP", "WebP")
NAMES = tuple(dict.fromkeys(name for _, _, name in MAGIC))
_NONE = len(NAMES)
# How JPEG and PNG files, and data URLs, begin as base64 text.
_BASE64 = (b"/9j/", b"iVBORw0KGgo", b"data:image/")

# The first bytes of its blocks.
_GIF_EXTENSION, _GIF_FRAME = 0x21, 0x2C
_GIF_MAX_BLOCKS = 65536  # of 255 bytes: 16 MB

_EMPTY = "the image is empty: 0 bytes"
_TEXT = 'this is base64 text, not the image that it stands for; in JSON, {"b64": TEXT} sends the image'
_NO_IMAGE = "this is no image; send a JPEG or PNG file"


class Kinds(NamedTuple):
    """What B images are by their first bytes.

    Attributes:
      refusals: string [B], why an image cannot be decoded; "" for one that may.
      failures: string [B], what to say if it does not decode.
      kinds: int32 [B], index into NAMES; len(NAMES) for none of them.
      pixels: int64 [B], as many as the head says; 0 where it does not (JPEG).
    """

    refusals: tf.Tensor
    failures: tf.Tensor
    kinds: tf.Tensor
    pixels: tf.Tensor


def index(name: str) -> int:
    """The number of a kind, as in `Kinds.kinds`."""
    return NAMES.index(name)


def look_at(image_bytes: tf.Tensor) -> Kinds:
    """Looks at the first bytes of images, string [B]."""
    head = tf.strings.substr(image_bytes, 0, _HEAD)
    padded = tf.strings.substr(tf.strings.join([head, b"\0" * _HEAD]), 0, _HEAD)
    data = tf.reshape(tf.io.decode_raw(padded, tf.uint8), [-1, _HEAD])
    fits = [_has(data, offset, magic) for offset, magic, _ in MAGIC]
    first = tf.argmax(tf.stack([*fits, tf.ones_like(fits[0])], axis=-1), axis=-1, output_type=tf.int32)
    kinds = tf.gather([*(index(name) for _, _, name in MAGIC), _NONE], first)
    refusals = tf.gather([*(_refusal(name) for name in NAMES), _NO_IMAGE], kinds)
    is_text = tf.reduce_any([_has(data, 0, start) for start in _BASE64], axis=0)
    refusals = tf.where(is_text, _TEXT, refusals)
    refusals = tf.where(tf.strings.length(image_bytes) == 0, _EMPTY, refusals)
    failures = tf.gather([*(_failure(name) for name in NAMES), _NO_IMAGE], kinds)
    return Kinds(refusals, failures, kinds, _pixels(data, kinds))


def _refusal(name: str) -> str:
    return "" if name in DECODED else f"this is a {name} image; send it as JPEG or PNG"


def _failure(name: str) -> str:
    if name in ("JPEG", "PNG"):
        return f"this {name} image is damaged or incomplete: it does not decode; send the whole file again"
    return f"this {name} image does not decode; send it as JPEG or PNG"


def _pixels(data: tf.Tensor, kinds: tf.Tensor) -> tf.Tensor:
    """Width times height by kind; of WebP, which has three forms, that of the canvas (its container specification)."""
    lossless = _number(data, 21, 4)
    webp = tf.where(
        _has(data, 12, b"VP8X"),
        (_number(data, 24, 3) + 1) * (_number(data, 27, 3) + 1),
        tf.where(
            _has(data, 12, b"VP8L"),
            (lossless % 2**14 + 1) * (lossless // 2**14 % 2**14 + 1),
            (_number(data, 26, 2) % 2**14) * (_number(data, 28, 2) % 2**14),
        ),
    )
    known = {
        "PNG": _side(_number(data, 16, 4, big=True)) * _side(_number(data, 20, 4, big=True)),
        "GIF": _number(data, 6, 2) * _number(data, 8, 2),
        "BMP": _side(_number(data, 18, 4)) * _side(_number(data, 22, 4)),
        "WebP": webp,
    }
    pixels = tf.zeros_like(webp)
    for name, product in known.items():
        pixels = tf.where(kinds == index(name), product, pixels)
    return pixels


def gif_pixels(contents: tf.Tensor) -> tf.Tensor:
    """All pixels of all frames of a GIF, string scalar: int64; the decoder unpacks every one to give the first.

    Blocks are told apart as in the GIF89a specification, sections 18 to 27. A file with more blocks than anybody has
    time to walk through has infinitely many pixels.
    """
    size = tf.strings.length(contents)
    data = tf.concat([tf.io.decode_raw(contents, tf.uint8), tf.zeros([_HEAD], tf.uint8)], axis=0)

    def byte(position: tf.Tensor) -> tf.Tensor:
        return tf.cast(data[position], tf.int32)

    def side(position: tf.Tensor) -> tf.Tensor:
        return tf.cast(byte(position) + 256 * byte(position + 1), tf.int64)

    def table(flags: tf.Tensor) -> tf.Tensor:
        return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)

    def after(position: tf.Tensor, in_blocks: tf.Tensor, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first = byte(position)
        extends, is_frame = ~in_blocks & (first == _GIF_EXTENSION), ~in_blocks & (first == _GIF_FRAME)
        frame = side(position + 5) * side(position + 7)
        step = tf.where(
            in_blocks, 1 + first, tf.where(extends, 2, tf.where(is_frame, 11 + table(byte(position + 9)), size))
        )
        blocks_follow = tf.where(in_blocks, first > 0, extends | is_frame)
        return (
            tf.minimum(position + step, size),
            blocks_follow,
            pixels + tf.where(is_frame, frame, tf.zeros_like(frame)),
        )

    position, _, pixels = tf.while_loop(
        lambda position, in_blocks, pixels: position < size,
        after,
        (tf.minimum(13 + table(byte(10)), size), tf.constant(False), tf.constant(0, tf.int64)),
        maximum_iterations=_GIF_MAX_BLOCKS,
    )
    return tf.where(position < size, tf.int64.max, pixels)


def _has(data: tf.Tensor, offset: int, expected: bytes) -> tf.Tensor:
    """Whether rows of uint8 [B, n] hold these bytes there: bool [B]."""
    return tf.reduce_all(data[:, offset : offset + len(expected)] == list(expected), axis=1)


def _number(data: tf.Tensor, offset: int, width: int, big: bool = False) -> tf.Tensor:
    """The unsigned numbers in `width` bytes of rows of uint8 [B, n], low byte first unless `big`: int64 [B]."""
    powers: Sequence[int] = [256**power for power in range(width)]
    field = tf.cast(data[:, offset : offset + width], tf.int64)
    return tf.reduce_sum(field * tf.constant(powers[::-1] if big else powers, tf.int64), axis=1)


def _side(number: tf.Tensor) -> tf.Tensor:
    """A side in pixels from its 32 bits; negative for a BMP that is stored from its top, and at most 2^31."""
    return tf.where(number > 2**31, 2**32 - number, number)
