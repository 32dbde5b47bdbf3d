"""Where the bytes of an image are: in a file of their own, or in a part of a bigger one.

`image_paths` of a data set are such addresses: the path of a file, or `train.rec#offset=24&length=4000&name=a.jpg`. The
pair of offset and length is repeated where the bytes lie in several pieces. Whatever opens images does so here.
"""

from __future__ import annotations

import io
import os
import pathlib
import re
import urllib.parse
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

Segment = tuple[int, int]

_PART = re.compile(r"#((?:offset=\d+&length=\d+&)+)name=([^/&#]*)$")
_NUMBER = re.compile(r"\d+")


class Address(NamedTuple):
    """An address, taken apart.

    Attributes:
      path: the file.
      segments: (offset, length) in bytes of each piece, in order; empty for the whole file.
      name: the name of the image, with `/` where it names a folder.
    """

    path: str
    segments: tuple[Segment, ...]
    name: str


def inside(path: str | os.PathLike[str], segments: Sequence[Segment], name: str) -> str:
    """Makes the address of an image that lies in these pieces of a file."""
    pieces = "".join(f"offset={offset}&length={length}&" for offset, length in segments)
    return f"{os.fspath(path)}#{pieces}name={urllib.parse.quote(name, safe='')}"


def parse(address: str | os.PathLike[str]) -> Address:
    """Takes an address apart."""
    address = os.fspath(address)
    found = _PART.search(address)
    if not found:
        return Address(address, (), pathlib.PurePath(address).name)
    numbers = [int(number) for number in _NUMBER.findall(found.group(1))]
    segments = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return Address(address[: found.start()], segments, urllib.parse.unquote(found.group(2)))


def name(address: str) -> str:
    """The file name of an image, without folders."""
    return pathlib.PurePosixPath(parse(address).name).name


def size(address: str) -> int:
    """Bytes of an image.

    Raises:
      OSError: there is no such file.
    """
    path, segments, _ = parse(address)
    return sum(length for _, length in segments) if segments else os.stat(path).st_size


def state(address: str) -> str:
    """A text that changes with the image: what its file is called, when it was changed, how long it is.

    Raises:
      OSError: there is no such file.
    """
    path, segments, _ = parse(address)
    path = os.path.abspath(path)
    stat = os.stat(path)
    return f"{path}\n{stat.st_mtime_ns}\n{stat.st_size}" + (f"\n{segments}" if segments else "")


def read(address: str) -> bytes:
    """Returns the bytes of an image; fewer where its file has become shorter.

    Raises:
      OSError: the file cannot be read.
    """
    path, segments, _ = parse(address)
    with open(path, "rb") as file:
        if not segments:
            return file.read()
        pieces = []
        for offset, length in segments:
            file.seek(offset)
            pieces.append(file.read(length))
        return b"".join(pieces)


def open_image(address: str) -> BinaryIO:
    """Opens an image for reading.

    Raises:
      OSError: the file cannot be opened.
    """
    path, segments, _ = parse(address)
    return io.BytesIO(read(address)) if segments else open(path, "rb")
