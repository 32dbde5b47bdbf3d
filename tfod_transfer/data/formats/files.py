"""Files as readers look at them."""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
from collections.abc import Iterator

from tfod_transfer.errors import DataError


@contextlib.contextmanager
def mapped(path: str | os.PathLike[str]) -> Iterator[memoryview]:
    """Gives the bytes of a file, which are read as they are looked at."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield memoryview(b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            yield view


def lines_of(path: pathlib.Path) -> list[str]:
    """The lines of a small text file, without their ends; none when there is no such file.

    Raises:
      DataError: it is not text in UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: byte {error.start} cannot be read") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]  # splitlines would part them elsewhere, too
    return lines if lines[-1] else lines[:-1]
