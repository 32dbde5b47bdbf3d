"""What an image file really is, found out before anything decodes it: type, size, orientation, damage."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from tfod_transfer.data import addresses

# What TensorFlow decodes to the same pixels in training and in the exported model.
SUPPORTED_FORMATS = ("JPEG", "PNG")
DEFAULT_MAX_PIXELS = 50_000_000

# "full": the header, then the whole body is decoded once; "header": the header only; "none": the file is not opened.
VERIFY = ("full", "header", "none")

MAGIC = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"jP  ", "JPEG 2000"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LFS_POINTER = b"version https://git-lfs"


class ImageHeader(NamedTuple):
    """What the header of a readable image says.

    Attributes:
      format: one of SUPPORTED_FORMATS.
      width: pixels as stored, before orientation is applied.
      height: pixels as stored.
      orientation: EXIF orientation 1..8 of a JPEG; 1 where it has none.
      other_orientation: what XMP, or EXIF in a PNG, says instead. It is not applied: the exported model, which sees
        nothing but the file, does not read these, and neither do most tools in which boxes are drawn.
    """

    format: str
    width: int
    height: int
    orientation: int
    other_orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) once the orientation is applied."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


class ImageProblem(NamedTuple):
    """Why an image cannot be used: a short kind, a sentence that says what was found and what to do, a value."""

    reason: str
    message: str
    value: object = None


def sniff(head: bytes) -> str | None:
    """Returns the image format that the first 16 bytes of a file announce, whatever its name; None if it is none."""
    for offset, magic, name in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    return None


def check_images(
    paths: Sequence[str], *, max_pixels: int = DEFAULT_MAX_PIXELS, decode: bool = True
) -> list[ImageHeader | ImageProblem]:
    """Checks image files in a thread pool.

    Args:
      paths: addresses (data/addresses.py): files, or parts of them.
      max_pixels: larger images are problems; they are never decoded (decompression bombs).
      decode: also decodes each body, at the smallest scale JPEG offers, since only that finds a truncated file.

    Returns:
      One header or problem for each path, in order.
    """
    workers = min(16, 2 * (os.cpu_count() or 1))
    with _quiet_pillow(), futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda path: _check(path, max_pixels, decode), paths))


def problem_with(path: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> str | None:
    """Returns a sentence that names the file and says why it cannot be used; None for a good image."""
    found = check_images([path], max_pixels=max_pixels)[0]
    return f"{path}: {found.message}" if isinstance(found, ImageProblem) else None


def check_header(contents: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageHeader | ImageProblem:
    """Checks an image that is in memory by its header alone, as `check_images` does with files."""
    kind = sniff(contents[:16])
    if kind not in SUPPORTED_FORMATS:
        return _not_supported(contents[:64], kind)
    with _quiet_pillow():
        return _check_body(io.BytesIO(contents), kind, max_pixels, decode=False)


def open_upright(path: str, max_side: int | None = None) -> Image.Image:
    """Opens an image to look at: 8-bit RGB, its EXIF orientation applied, no side longer than `max_side`."""
    with _quiet_pillow(), addresses.open_image(path) as file, Image.open(file, formats=SUPPORTED_FORMATS) as image:
        orientation, _ = _orientations(image)
        if max_side:
            image.draft("RGB", (max_side, max_side))  # a JPEG decodes many times faster at a smaller scale
        rgb = _to_rgb(image)
    if max_side:
        rgb.thumbnail((max_side, max_side))
    return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit gray: Pillow would clip it at 255
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return image.convert("RGB")


@contextlib.contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Turns off Pillow's own pixel cap (ours decides) and its remarks on odd metadata."""
    cap, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = cap


def _check(path: str, max_pixels: int, decode: bool) -> ImageHeader | ImageProblem:
    try:
        with addresses.open_image(path) as file:
            head = file.read(64)
            kind = sniff(head)
            if kind not in SUPPORTED_FORMATS:
                return _not_supported(head, kind)
            file.seek(0)
            return _check_body(file, kind, max_pixels, decode)
    except FileNotFoundError:
        return ImageProblem("missing_image", "the image file does not exist")
    except OSError as error:
        return ImageProblem("unreadable_image", f"the image file cannot be opened: {error.strerror or error}")


def _check_body(file: BinaryIO, kind: str, max_pixels: int, decode: bool) -> ImageHeader | ImageProblem:
    try:
        image = Image.open(file, formats=SUPPORTED_FORMATS)
    except Exception as error:  # Pillow's plugins raise many types on damaged bytes
        return ImageProblem("broken_image", f"the header of this {kind} file is damaged ({_cause(error)})")
    width, height = image.size
    if width * height == 0:
        return ImageProblem("broken_image", f"the header says {width} x {height} pixels", [height, width])
    if width * height > max_pixels:
        megapixels = f"{width * height / 1e6:.0f} megapixels, more than the {max_pixels / 1e6:g} that max_pixels allows"
        message = f"{width} x {height} is {megapixels}; make the image smaller or raise max_pixels"
        return ImageProblem("too_many_pixels", message, [height, width])
    header = ImageHeader(kind, width, height, *_orientations(image))
    if decode:
        try:
            image.draft("RGB", (1, 1))
            image.load()
        except Exception as error:  # as above
            return ImageProblem("broken_image", f"this {kind} file does not decode ({_cause(error)})")
    return header


def _orientations(image: Image.Image) -> tuple[int, int]:
    """The orientation that is applied, and the one that is not (see ImageHeader)."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b"") if isinstance(image, JpegImagePlugin.JpegImageFile) else b"")
        # The base class's getexif, which looks into XMP too; that of PNG would decode the image to find it.
        found = exif.get(ExifTags.Base.Orientation), Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata does not make the pixels unreadable
        return 1, 1
    applied, anywhere = (value if isinstance(value, int) and 1 <= value <= 8 else 1 for value in found)
    return applied, 1 if applied == anywhere else anywhere


def _not_supported(head: bytes, kind: str | None) -> ImageProblem:
    if kind:
        return ImageProblem("unsupported_format", f"this is a {kind} image; convert it to JPEG or PNG", kind)
    if not head:
        return ImageProblem("not_an_image", "the file is empty")
    if head.startswith(_LFS_POINTER):
        return ImageProblem("not_an_image", "this is a Git LFS pointer, not the image itself; run `git lfs pull`")
    return ImageProblem("not_an_image", f"this is no image file: it starts with {head[:16]!r}", head[:16].hex())


def _cause(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image size can be found in it"  # Pillow's own text only repeats the file name
    return (str(error).splitlines() or [type(error).__name__])[0]
