"""Copies files from S3 and other places that TensorFlow has a file system for.

A process of its own does it (`python -m tfod_transfer.remote_files ADDRESS FOLDER`): that of tensorflow-io's S3 aborts
when it ends, whatever it has done before.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys

from tfod_transfer import cli, errors

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


def is_remote(argument: str) -> bool:
    """Whether an argument is an address (`s3://bucket/key`) and not a path."""
    return _SCHEME.match(argument) is not None


def copied(address: str, folder: pathlib.Path) -> list[tuple[str, str]]:
    """Copies what an address means: a file, the files of a folder, of a pattern, or whose names begin so.

    Args:
      address: with a scheme.
      folder: where to, made if need be.

    Returns:
      Address and path of each file, sorted.

    Raises:
      DataError: TensorFlow knows no such file system, or nothing is there.
    """
    command = [sys.executable, "-m", "tfod_transfer.remote_files", address, str(folder)]
    # A package that is not installed is found from any folder, too.
    paths = os.pathsep.join(filter(None, [str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = done.stdout.splitlines()
    if not lines:
        raise errors.DataError(f"{address}: copying it ended with status {done.returncode}: {done.stderr[-500:]}")
    told = json.loads(lines[-1])
    if isinstance(told, str):
        raise errors.DataError(told)
    return [(name, path) for name, path in told]


def main(address: str, folder: str) -> None:
    """Copies, and prints a JSON list of addresses and paths, or a sentence about what went wrong as JSON."""
    cli.quiet_tensorflow()
    try:
        print(json.dumps(_copy(address, pathlib.Path(folder))), flush=True)
    except errors.DataError as error:
        print(json.dumps(str(error)), flush=True)


def _copy(address: str, folder: pathlib.Path) -> list[tuple[str, str]]:
    import tensorflow as tf

    with contextlib.suppress(Exception):  # where it is installed and fits this TensorFlow, it knows more file systems
        importlib.import_module("tensorflow_io")
    found = _SCHEME.match(address)
    scheme = found.group(1).lower() if found else ""
    known = sorted(name for name in tf.io.gfile.get_registered_schemes() if name)
    if scheme not in known:
        raise errors.DataError(
            f"{address}: TensorFlow knows no file system {scheme}:// here, only {', '.join(known)}; install the "
            "tensorflow-io that fits it, or copy the files to a folder and give that."
        )
    try:
        files = _matching(tf.io.gfile, address)
        if not files:
            raise errors.DataError(
                f"{address}: there is no such file, and none whose name begins so, or it cannot be read."
            )
        folder.mkdir(parents=True, exist_ok=True)
        pairs = []
        for number, name in enumerate(files):
            path = folder / f"{number:06d}_{pathlib.PurePosixPath(name).name}"
            tf.io.gfile.copy(name, str(path))
            pairs.append((name, str(path)))
    except tf.errors.OpError as error:
        raise errors.DataError(f"{address}: it cannot be read ({error.message.splitlines()[0]}).") from None
    return pairs


def _matching(gfile: object, address: str) -> list[str]:
    """Addresses of the files that are meant, sorted."""
    isdir, listed, matches = gfile.isdir, gfile.listdir, gfile.glob  # type: ignore[attr-defined]
    if isdir(address):
        base = address.rstrip("/")
        names = [f"{base}/{name}" for name in listed(address) if not name.endswith("/")]
    else:
        names = matches(address) or matches(address + "*")
    return sorted(name for name in names if not isdir(name))


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
