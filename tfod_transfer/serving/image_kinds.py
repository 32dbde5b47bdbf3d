"""What encoded images are by their first bytes, in plain TensorFlow ops that fail on no bytes whatever."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.data.image_files import MAGIC

_HEAD = 32  # bytes that are looked at
#: What TensorFlow decodes; of the others it can only be said what they are.
DECODED = ("JPEG", "PNG", "GIF", "BMP", "WebP")
NAMES = tuple(dict.fromkeys(name for _, _, name in MAGIC))
_NONE = len(NAMES)
# How JPEG and PNG files, and data URLs, begin as base64 text.
_BASE64 = (b"/9j/", b"iVBORw0KGgo", b"data:image/")
# Everything that is looked for at once, since small ops cost more than large ones: (offset, bytes).
_STARTS = (
    *((offset, magic) for offset, magic, _ in MAGIC),
    *((0, text) for text in _BASE64),
    (12, b"VP8X"),
    (12, b"VP8L"),
)
# Where headers hold a width and a height: (offset of each, bytes of each, whether the high byte comes first).
_SIDES = {
    "PNG": (16, 20, 4, True),
    "BMP": (18, 22, 4, False),
    "GIF": (6, 8, 2, False),
    "WebP VP8X": (24, 27, 3, False),
    "WebP": (26, 28, 2, False),
}
_LOSSLESS = 21  # where lossless WebP has both, less 1, in 14 bits each

# The first bytes of GIF's blocks.
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
    expected, counts = _starts()
    fits = tf.reduce_all((data[:, tf.newaxis] == expected) | ~counts, axis=-1)
    magic, is_text, is_form = tf.split(fits, [len(MAGIC), len(_BASE64), 2], axis=1)
    first = tf.argmax(tf.pad(magic, [[0, 0], [0, 1]], constant_values=True), axis=1, output_type=tf.int32)
    kinds = tf.gather([*(index(name) for _, _, name in MAGIC), _NONE], first)
    refusals = tf.gather([*(_refusal(name) for name in NAMES), _NO_IMAGE], kinds)
    refusals = tf.where(tf.reduce_any(is_text, axis=1), _TEXT, refusals)
    refusals = tf.where(tf.strings.length(image_bytes) == 0, _EMPTY, refusals)
    failures = tf.gather([*(_failure(name) for name in NAMES), _NO_IMAGE], kinds)
    return Kinds(refusals, failures, kinds, _pixels(data, kinds, is_form))


def _refusal(name: str) -> str:
    return "" if name in DECODED else f"this is a {name} image; send it as JPEG or PNG"


def _failure(name: str) -> str:
    if name in ("JPEG", "PNG"):
        return f"this {name} image is damaged or incomplete: it does not decode; send the whole file again"
    return f"this {name} image does not decode; send it as JPEG or PNG"


def _pixels(data: tf.Tensor, kinds: tf.Tensor, is_form: tf.Tensor) -> tf.Tensor:
    """Width times height by kind; of WebP, which has three forms, that of the canvas (its container specification).

    Args:
      data: uint8 [B, _HEAD].
      kinds: int32 [B].
      is_form: bool [B, 2], whether it would be WebP's extended form, its lossless one.
    """
    numbers = tf.cast(tf.matmul(tf.cast(data, tf.float64), _byte_values()), tf.int64)
    sides = tf.reshape(numbers[:, :-1], [-1, len(_SIDES), 2])
    # A BMP stored from its top has a negative height, in 32 bits; the two upper bits of VP8's sides are a scale.
    sides = tf.where(sides > 2**31, 2**32 - sides, sides)
    sides = sides % [[2**14 if name == "WebP" else 2**33] for name in _SIDES]
    sides += tf.constant([[int(name == "WebP VP8X")] for name in _SIDES], tf.int64)
    lossless = (numbers[:, -1:] % 2**14 + 1) * (numbers[:, -1:] // 2**14 % 2**14 + 1)
    columns = tf.concat([tf.reduce_prod(sides, axis=-1), lossless, tf.zeros_like(lossless)], axis=1)
    names = [*_SIDES, "WebP VP8L", "nothing"]
    column = tf.gather([names.index(name if name in _SIDES else "nothing") for name in (*NAMES, "nothing")], kinds)
    of_form = tf.where(is_form[:, 0], names.index("WebP VP8X"), names.index("WebP VP8L"))
    column = tf.where(tf.reduce_any(is_form, axis=1) & (kinds == index("WebP")), of_form, column)
    return tf.gather(columns, column, batch_dims=1)


def _starts() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The bytes of each of _STARTS, uint8 [n, _HEAD], and which of them count, bool [n, _HEAD]."""
    expected, counts = np.zeros([len(_STARTS), _HEAD], np.uint8), np.zeros([len(_STARTS), _HEAD], bool)
    for row, (offset, start) in enumerate(_STARTS):
        expected[row, offset : offset + len(start)] = list(start)
        counts[row, offset : offset + len(start)] = True
    return expected, counts


def _byte_values() -> npt.NDArray[np.float64]:
    """What each byte counts in each number of _SIDES and in lossless WebP's: float64 [_HEAD, n]."""
    fields = [(at, width, big) for *both, width, big in _SIDES.values() for at in both]
    fields.append((_LOSSLESS, 4, False))
    values = np.zeros([_HEAD, len(fields)])
    for column, (at, width, big) in enumerate(fields):
        powers = 256.0 ** np.arange(width)
        values[at : at + width, column] = powers[::-1] if big else powers
    return values


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
