"""Encoded bytes to upright RGB pixels, in plain TensorFlow ops: the same in training and in the exported model."""

from __future__ import annotations

import tensorflow as tf

# JPEG markers (ITU T.81, table B.1) and the orientation tag (EXIF 2.32, section 4.6.4).
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
_FIRST_BARE_MARKER, _TEM = 0xD0, 0x01  # restart markers, start and end of image, TEM: no length follows
_EXIF_HEADER = b"Exif\0\0"
_ORIENTATION_TAG, _SHORT, _LONG = 0x0112, 3, 4
_MAX_MARKERS = 1024  # bounds the time that a crafted file can take
_PADDING = 16  # zero bytes behind the file, so that reading a field at its very end needs no check


def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decodes one JPEG, PNG, BMP (24 bits) or GIF (its first frame), by what the bytes are.

    Gray, palette and CMYK images become RGB; alpha is dropped; of 16 bits the upper 8 are kept. EXIF is not looked at.

    Args:
      contents: string scalar, a whole file.

    Returns:
      uint8 [H, W, 3], RGB as stored.

    Raises:
      tf.errors.InvalidArgumentError: not such an image, or a damaged one.
    """
    # Both arguments are needed: without them a GIF gives four dimensions, and a gray image one channel.
    image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def orient(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image upright.

    Args:
      image: [H, W, 3], as stored.
      orientation: int32 scalar, EXIF orientation; outside 1..8 it means 1 (upright already).

    Returns:
      [H, W, 3], or [W, H, 3] for the orientations 5 to 8.
    """
    transposed = tf.cond(
        (orientation >= 5) & (orientation <= 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: tf.identity(image)
    )
    flips_rows = tf.reduce_any(orientation == [3, 4, 7, 8])
    flips_columns = tf.reduce_any(orientation == [2, 3, 6, 7])
    axes = tf.boolean_mask([0, 1], tf.stack([flips_rows, flips_columns]))
    upright = tf.cond(flips_rows | flips_columns, lambda: tf.reverse(transposed, axes), lambda: tf.identity(transposed))
    return tf.ensure_shape(upright, [None, None, 3])


def exif_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Reads the EXIF orientation of a JPEG; 1 for other formats and where there is none or it is malformed.

    Args:
      contents: string scalar, a whole file.

    Returns:
      int32 scalar in 1..8.
    """
    is_jpeg = tf.strings.substr(contents, 0, 2) == b"\xff\xd8"
    return tf.cond(is_jpeg, lambda: _jpeg_orientation(contents), lambda: tf.constant(1))


def _jpeg_orientation(contents: tf.Tensor) -> tf.Tensor:
    data = tf.concat([tf.io.decode_raw(contents, tf.uint8), tf.zeros([_PADDING], tf.uint8)], axis=0)
    size = tf.strings.length(contents)

    def next_segment(position: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        marker = _number(data, position + 1, 1)
        header = data[position + 4 : position + 4 + len(_EXIF_HEADER)]
        is_exif = (marker == _APP1) & tf.reduce_all(header == list(_EXIF_HEADER))
        step = tf.case(
            [
                (_number(data, position, 1) != 0xFF, lambda: 1),  # junk between segments: decoders skip it
                ((marker == 0xFF) | (marker == 0), lambda: 1),  # fill bytes
                ((marker == _START_OF_SCAN) | (marker == _END_OF_IMAGE), lambda: size),
                (((marker >= _FIRST_BARE_MARKER) & (marker < _END_OF_IMAGE)) | (marker == _TEM), lambda: 2),
            ],
            default=lambda: 2 + _number(data, position + 2, 2),
        )
        is_exif &= step > 2
        return tf.minimum(position + step, size), tf.where(is_exif, position + 4 + len(_EXIF_HEADER), 0)

    _, tiff = tf.while_loop(
        lambda position, tiff: (tiff == 0) & (position + 4 <= size),
        next_segment,
        (tf.constant(2), tf.constant(0)),
        maximum_iterations=_MAX_MARKERS,
    )
    return tf.cond(tiff > 0, lambda: _tiff_orientation(data, tiff, size), lambda: tf.constant(1))


def _tiff_orientation(data: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Looks the orientation up in the first directory of a TIFF header that begins at `start`."""
    is_little = tf.reduce_all(data[start : start + 4] == list(b"II\x2a\0"))
    is_big = tf.reduce_all(data[start : start + 4] == list(b"MM\0\x2a"))
    directory = start + tf.clip_by_value(_number(data, start + 4, 4, is_little), 0, end - start)
    room = tf.maximum(end - directory - 2, 0) // 12
    count = tf.minimum(_number(data, directory, 2, is_little), room)
    entries = tf.reshape(data[directory + 2 : directory + 2 + 12 * count], [-1, 12])
    tags, types = _number_at(entries, 0, 2, is_little), _number_at(entries, 2, 2, is_little)
    values = tf.where(types == _LONG, _number_at(entries, 8, 4, is_little), _number_at(entries, 8, 2, is_little))
    fits = (tags == _ORIENTATION_TAG) & ((types == _SHORT) | (types == _LONG)) & (values >= 1) & (values <= 8)
    found = tf.boolean_mask(values, fits & (is_little | is_big))
    return tf.concat([found, [1]], axis=0)[0]


def _number(data: tf.Tensor, position: tf.Tensor, width: int, is_little: tf.Tensor | bool = False) -> tf.Tensor:
    """The unsigned number in `width` bytes at `position` of uint8 [n], as int32 (negative past 2^31)."""
    return _number_at(data[tf.newaxis, position : position + width], 0, width, is_little)[0]


def _number_at(rows: tf.Tensor, column: int, width: int, is_little: tf.Tensor | bool = False) -> tf.Tensor:
    """The unsigned numbers in `width` bytes at `column` of uint8 [n, m], as int32 [n] (negative past 2^31)."""
    field = tf.cast(rows[:, column : column + width], tf.int32)
    field = tf.where(is_little, field, field[:, ::-1])
    return tf.reduce_sum(tf.bitwise.left_shift(field, tf.range(0, 8 * width, 8)), axis=1)
