"""Keeps copies of remote files (`s3://…`) in the local cache, and copies what is not there or has changed.

A process of its own does it (`python -m tfod_transfer.remote_mirror`), for the reason that `remote_files.py` gives. It
is started only when there is a remote file.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable
from concurrent import futures
from typing import NamedTuple

from tfod_transfer import cli, errors, model_cache, remote_files

FOLDER = "remote"
_WORKERS = 16


class Problem(NamedTuple):
    """Why a file could not be copied: a sentence."""

    message: str


def mirrored(addresses: Iterable[str]) -> dict[str, pathlib.Path | Problem]:
    """Returns the copy of each file, which is as new as the file.

    Raises:
      DataError: TensorFlow knows no such file system here.
    """
    paths = {address: _path(address) for address in addresses}
    if not paths:
        return {}
    command = [sys.executable, "-m", "tfod_transfer.remote_mirror"]
    asked = json.dumps({address: str(path) for address, path in paths.items()})
    done = subprocess.run(
        command, input=asked, capture_output=True, text=True, check=False, env=remote_files.environment()
    )
    lines = done.stdout.splitlines()
    if not lines:
        first = next(iter(paths))
        raise errors.DataError(f"{first}: copying it ended with status {done.returncode}: {done.stderr[-500:]}")
    told = json.loads(lines[-1])
    if isinstance(told, str):
        raise errors.DataError(told)
    return {address: Problem(told[address]) if address in told else path for address, path in paths.items()}


def _path(address: str) -> pathlib.Path:
    scheme, _, rest = address.partition("://")
    # Names that a folder cannot have, or that lead out of it, are spelled otherwise.
    parts = [urllib.parse.quote(part, safe=" ") if part.strip(".") else f"%{part}" for part in rest.split("/")]
    return model_cache.cache_folder() / FOLDER / scheme.lower() / pathlib.Path(*parts)


def main() -> None:
    """Copies what stdin asks for, an object of addresses and paths; prints an object of addresses and problems."""
    cli.quiet_tensorflow()
    paths = json.load(sys.stdin)
    try:
        remote_files.load_file_systems(next(iter(paths)))
        with futures.ThreadPoolExecutor(_WORKERS) as pool:
            problems = dict(zip(paths, pool.map(_copy, paths, map(pathlib.Path, paths.values())), strict=True))
        print(json.dumps({address: problem for address, problem in problems.items() if problem}), flush=True)
    except errors.DataError as error:
        print(json.dumps(str(error)), flush=True)


def _copy(address: str, path: pathlib.Path) -> str | None:
    """Copies a file unless the copy has its size and time; returns what went wrong."""
    import tensorflow as tf

    try:
        found = tf.io.gfile.stat(address)
        if path.is_file():
            there = path.stat()
            if (there.st_size, there.st_mtime_ns) == (found.length, found.mtime_nsec):
                return None
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}.part")
        tf.io.gfile.copy(address, str(new), overwrite=True)
        os.utime(new, ns=(found.mtime_nsec, found.mtime_nsec))
        new.replace(path)
    except tf.errors.OpError as error:
        return f"it cannot be read: {error.message.splitlines()[0]}"
    except OSError as error:
        return f"it cannot be copied to {path}: {error.strerror}"
    return None


if __name__ == "__main__":
    main()
    os._exit(0)
