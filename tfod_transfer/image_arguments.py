"""The images that a command is given: files, folders, patterns, and what lies on S3 and the like."""

from __future__ import annotations

import glob
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from tfod_transfer import errors, remote_files


class GivenImage(NamedTuple):
    """An image file.

    Attributes:
      name: as it is told: the path, or the address of a copy.
      path: where it is on this machine.
    """

    name: str
    path: str


def find(arguments: Sequence[str], scratch: pathlib.Path) -> list[GivenImage]:
    """Returns the files that are meant, each argument's sorted by name.

    Args:
      arguments: a file; a folder, for the files in it; a pattern with `*`, `?`, `[…]`, and `**` for folders at any
        depth; `s3://…` and others that TensorFlow has a file system for: a file, a folder, a pattern, or the beginning
        of names.
      scratch: where copies of remote files go.

    Raises:
      DataError: nothing is there, or a file system cannot be read.
    """
    images: list[GivenImage] = []
    with remote_files.RemoteFiles() as remote:
        for argument in arguments:
            if not remote_files.is_remote(argument):
                images += [GivenImage(path, path) for path in _local(argument)]
                continue
            for name in remote.matching(argument):
                path = scratch / f"{len(images):06d}_{pathlib.PurePosixPath(name).name}"
                remote.copy(name, str(path))
                images.append(GivenImage(name, str(path)))
    return images


def _local(argument: str) -> list[str]:
    path = pathlib.Path(argument)
    if path.is_dir():
        inside = sorted(str(each) for each in path.iterdir() if each.is_file())
        if not inside:
            raise errors.DataError(f"the folder {argument!r} holds no images.")
        return inside
    if path.exists() or not glob.has_magic(argument):
        return [argument]
    matching = sorted(each for each in glob.glob(argument, recursive=True) if pathlib.Path(each).is_file())
    if not matching:
        raise errors.DataError(f"no file matches the pattern {argument!r}.")
    return matching
