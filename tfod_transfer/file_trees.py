"""A folder of files, here or at an address: its names, reading one, writing one whole."""

from __future__ import annotations

import os
import pathlib
import secrets
from typing import Protocol

from tfod_transfer import errors
from tfod_transfer.remote_files import RemoteFiles, is_remote


class FileTree(Protocol):
    """Files by names like `inner/deep/e.jpg`, relative to a folder."""

    def names(self) -> list[str]:
        """Returns the names of all files, at any depth, sorted; [] where there is no such folder."""

    def read(self, name: str) -> bytes:
        """Returns a file's contents."""

    def write(self, name: str, contents: bytes) -> None:
        """Writes a file; who looks meanwhile sees all of it or nothing."""


class LocalTree:
    """A folder, or a single file as a folder with nothing else in it."""

    def __init__(self, place: str) -> None:
        path = pathlib.Path(place)
        self._only = path.name if path.is_file() else None
        self._root = path.parent if self._only else path

    def names(self) -> list[str]:
        if self._only:
            return [self._only]
        files = (pathlib.Path(folder, name) for folder, _, names in os.walk(self._root) for name in names)
        return sorted(path.relative_to(self._root).as_posix() for path in files if not _is_hidden(path.name))

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def write(self, name: str, contents: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.parent / f".{path.name}.{secrets.token_hex(4)}"
        try:
            scratch.write_bytes(contents)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


class RemoteTree:
    """What lies below an address; files pass through a scratch folder of this machine."""

    def __init__(self, address: str, remote: RemoteFiles, scratch: pathlib.Path) -> None:
        self._base, self._remote = address.rstrip("/"), remote
        self._scratch = scratch / secrets.token_hex(4)

    def names(self) -> list[str]:
        found = [name.removeprefix(f"{self._base}/") for name in self._remote.below(self._base)]
        return [name for name in found if not _is_hidden(pathlib.PurePosixPath(name).name)]

    def read(self, name: str) -> bytes:
        self._remote.copy(f"{self._base}/{name}", str(self._scratch))
        return self._scratch.read_bytes()

    def write(self, name: str, contents: bytes) -> None:
        self._scratch.write_bytes(contents)
        self._remote.copy(str(self._scratch), f"{self._base}/{name}")


def open_tree(place: str, remote: RemoteFiles, scratch: pathlib.Path) -> FileTree:
    """The tree at a path or an address.

    Args:
      place: a folder, a file, or an address like `s3://bucket/prefix`, whether or not it is there.
      remote: reads and writes addresses.
      scratch: a folder for copies of one file at a time.
    """
    return RemoteTree(place, remote, scratch) if is_remote(place) else LocalTree(place)


def check_apart(source: str, target: str) -> None:
    """Makes sure that what is written to `target` is not read as a part of `source`.

    Raises:
      UsageError: `target` is `source` or lies in it.
    """
    if is_remote(source) != is_remote(target):
        return
    inner, outer = (
        f"{place.rstrip('/')}/" if is_remote(place) else f"{os.path.realpath(place)}/" for place in (target, source)
    )
    if inner.startswith(outer):
        raise errors.UsageError(
            f"the output folder {target!r} lies in {source!r}, whose files are read; choose another."
        )


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
