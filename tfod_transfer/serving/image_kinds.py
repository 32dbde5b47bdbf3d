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

_EMPTY = "the image is empty: 0 bytes"
_TEXT = 'this is base64 text, not the image that it stands for; in JSON, {"b64": TEXT} sends the image'
_NO_IMAGE = "this is no image; send a JPEG or PNG file"


class Kinds(NamedTuple):
    """What B images are by their first bytes.

    Attributes:
      refusals: string [B], why an image cannot be decoded; "" for one that may.
      failures: string [B], what to say if it does not decode.
      kinds: int32 [B], index into NAMES; len(NAMES) for none of them.
      sizes: int64 [B, 2], height and width in pixels as the head says; 0 where it does not (JPEG).
    """

    refusals: tf.Tensor
    failures: tf.Tensor
    kinds: tf.Tensor
    sizes: tf.Tensor


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
    return Kinds(refusals, failures, kinds, _sizes(data, kinds))


def _refusal(name: str) -> str:
    return "" if name in DECODED else f"this is a {name} image; send it as JPEG or PNG"


def _failure(name: str) -> str:
    if name in ("JPEG", "PNG"):
        return f"this {name} image is damaged or incomplete: it does not decode; send the whole file again"
    return f"this {name} image does not decode; send it as JPEG or PNG"


def _sizes(data: tf.Tensor, kinds: tf.Tensor) -> tf.Tensor:
    """Height and width by kind; of WebP, which has three forms, that of the canvas (its container specification)."""
    lossless = _number(data, 21, 4)
    webp = tf.where(
        _has(data, 12, b"VP8X")[:, tf.newaxis],
        tf.stack([_number(data, 27, 3) + 1, _number(data, 24, 3) + 1], axis=-1),
        tf.where(
            _has(data, 12, b"VP8L")[:, tf.newaxis],
            tf.stack([lossless // 2**14 % 2**14 + 1, lossless % 2**14 + 1], axis=-1),
            tf.stack([_number(data, 28, 2) % 2**14, _number(data, 26, 2) % 2**14], axis=-1),
        ),
    )
    known = {
        "PNG": tf.stack([_number(data, 20, 4, big=True), _number(data, 16, 4, big=True)], axis=-1),
        "GIF": tf.stack([_number(data, 8, 2), _number(data, 6, 2)], axis=-1),
        # A BMP that is stored from its top has a negative height, in 32 bits.
        "BMP": tf.stack([tf.abs(_signed(_number(data, 22, 4))), tf.abs(_signed(_number(data, 18, 4)))], axis=-1),
        "WebP": webp,
    }
    sizes = tf.zeros_like(webp)
    for name, size in known.items():
        sizes = tf.where((kinds == index(name))[:, tf.newaxis], size, sizes)
    return sizes


def _has(data: tf.Tensor, offset: int, expected: bytes) -> tf.Tensor:
    """Whether rows of uint8 [B, n] hold these bytes there: bool [B]."""
    return tf.reduce_all(data[:, offset : offset + len(expected)] == list(expected), axis=1)


def _number(data: tf.Tensor, offset: int, width: int, big: bool = False) -> tf.Tensor:
    """The unsigned numbers in `width` bytes of rows of uint8 [B, n], low byte first unless `big`: int64 [B]."""
    powers: Sequence[int] = [256**power for power in range(width)]
    field = tf.cast(data[:, offset : offset + width], tf.int64)
    return tf.reduce_sum(field * tf.constant(powers[::-1] if big else powers, tf.int64), axis=1)


def _signed(number: tf.Tensor) -> tf.Tensor:
    return tf.where(number >= 2**31, number - 2**32, number)
