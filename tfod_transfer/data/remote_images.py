"""Copies of remote images (`s3://…`) in the local cache; only what is not there, or has changed, is copied."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Iterable
from typing import NamedTuple

from tfod_transfer import model_cache, remote_files

FOLDER = "remote"


class Problem(NamedTuple):
    """Why an image could not be copied: a sentence."""

    message: str


def local_copies(addresses: Iterable[str]) -> dict[str, pathlib.Path | Problem]:
    """Returns the copy of each image, which is as new as the image.

    Raises:
      DataError: TensorFlow knows no such file system here.
    """
    paths = {address: local_path(address) for address in addresses}
    if not paths:
        return {}
    with remote_files.RemoteFiles() as remote:
        problems = remote.renew({address: str(path) for address, path in paths.items()})
    return {address: Problem(problems[address]) if address in problems else path for address, path in paths.items()}


def local_path(address: str) -> pathlib.Path:
    """Where the copy of an image is."""
    scheme, _, rest = address.partition("://")
    # Names that a folder cannot have, or that lead out of it, are spelled otherwise.
    parts = [urllib.parse.quote(part, safe=" ") if part.strip(".") else f"%{part}" for part in rest.split("/")]
    return model_cache.cache_folder() / FOLDER / scheme.lower() / pathlib.Path(*parts)
