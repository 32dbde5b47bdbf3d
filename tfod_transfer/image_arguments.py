"""The images that a command is given: files, folders, patterns, frames of videos, and what lies on S3 and the like."""

from __future__ import annotations

import glob
import pathlib
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from tfod_transfer import errors, remote_files, videos


class GivenImage(NamedTuple):
    """An image file.

    Attributes:
      name: as it is told: the path, or the address of a copy; of a frame `clip.mp4#t=2.500`, with its second.
      path: where it is on this machine.
    """

    name: str
    path: str


def find(arguments: Sequence[str], scratch: pathlib.Path, frames_per_second: float = 1.0) -> list[GivenImage]:
    """Returns the files that are meant, each argument's sorted by name.

    Args:
      arguments: a file; a folder, for the files in it; a pattern with `*`, `?`, `[…]`, and `**` for folders at any
        depth; `s3://…` and others that TensorFlow has a file system for: a file, a folder, a pattern, or the beginning
        of names.
      scratch: where copies of remote files go, and frames.
      frames_per_second: how many frames of a video are taken.

    Raises:
      DataError: nothing is there, or a file system or a video cannot be read.
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
    return [each for image in images for each in _frames(image, scratch, frames_per_second)]


def _frames(image: GivenImage, scratch: pathlib.Path, frames_per_second: float) -> list[GivenImage]:
    """The frames of a video; any other file as it is."""
    if not videos.is_video(image.path) or not pathlib.Path(image.path).is_file():
        return [image]
    folder = scratch / f"frames_{secrets.token_hex(4)}"
    found = videos.frames(image.path, folder, frames_per_second)
    return [GivenImage(f"{image.name}#t={seconds:.3f}", path) for seconds, path in found]


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
