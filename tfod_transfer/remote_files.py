"""Files on S3 and other places that TensorFlow has a file system for.

A process of its own reads and writes them (`python -m tfod_transfer.remote_files`): that of tensorflow-io's S3 aborts
when it ends, whatever it has done before. It takes requests, JSON lines, from its standard input.
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
import tempfile
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

from tfod_transfer import cli, errors

_WORKERS = 16
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


def is_remote(argument: str) -> bool:
    """Whether an argument is an address (`s3://bucket/key`) and not a path."""
    return _SCHEME.match(argument) is not None


class RemoteFiles:
    """The process; started when it is first asked, ended with the block (`with RemoteFiles() as remote`).

    Each method raises DataError: TensorFlow knows no such file system, or what is there cannot be read or written.
    """

    def __enter__(self) -> RemoteFiles:
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
        self._errors.close()

    def matching(self, address: str) -> list[str]:
        """Addresses, sorted: of the file, of those in the folder, of the pattern's, or of those whose names begin so.

        Raises:
          DataError: there are none.
        """
        found: list[str] = self._asked("matching", address)
        if not found:
            raise errors.DataError(
                f"{address}: there is no such file, and none whose name begins so, or it cannot be read."
            )
        return found

    def below(self, address: str) -> list[str]:
        """Addresses of all files in a folder and in the folders in it, sorted; [] where there is no such folder."""
        found: list[str] = self._asked("below", address)
        return found

    def copy(self, source: str, target: str) -> None:
        """Copies a file from an address or path to another, in place of what is there."""
        self._asked("copy", source, target)

    def renew(self, copies: Mapping[str, str]) -> dict[str, str]:
        """Copies files whose copy is not there, or is not as long and as old as they are.

        Args:
          copies: the path of its copy for each address.

        Returns:
          For each address that could not be copied, why.
        """
        problems: dict[str, str] = self._asked("renew", *copies, *copies.values()) if copies else {}
        return problems

    def _asked(self, *request: str) -> Any:
        process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            status = process.wait()
            self._errors.seek(0)
            told = self._errors.read()[-500:].decode(errors="replace")
            raise errors.DataError(f"{request[1]}: the process that reads it ended with status {status}: {told}")
        answer = json.loads(line)
        if "error" in answer:
            raise errors.DataError(answer["error"])
        return answer["result"]

    def _started(self) -> subprocess.Popen[str]:
        # A package that is not installed is found from any folder, too.
        paths = os.pathsep.join(filter(None, [str(pathlib.Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tfod_transfer.remote_files"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C is for the command, which then closes this
        )
        return self._process


def main() -> None:
    """Answers requests until there are no more: a JSON line each, with `result` or `error`."""
    cli.quiet_tensorflow()
    import tensorflow as tf

    with contextlib.suppress(Exception):  # where it is installed and fits this TensorFlow, it knows more file systems
        importlib.import_module("tensorflow_io")
    for line in sys.stdin:
        name, *addresses = json.loads(line)
        try:
            _check(tf, addresses)
            answer = {"result": _ACTIONS[name](tf.io.gfile, *addresses)}
        except errors.DataError as error:
            answer = {"error": str(error)}
        except tf.errors.OpError as error:
            answer = {"error": f"{addresses[-1]}: it cannot be read or written ({cli.describe_tf_error(error)})."}
        print(json.dumps(answer), flush=True)


def _check(tf: Any, addresses: list[str]) -> None:
    known = sorted(name for name in tf.io.gfile.get_registered_schemes() if name)
    for address in addresses:
        found = _SCHEME.match(address)
        if found and found.group(1).lower() not in known:
            raise errors.DataError(
                f"{address}: TensorFlow knows no file system {found.group(1)}:// here, only {', '.join(known)}; "
                "install the tensorflow-io that fits it, or copy the files to a folder and give that."
            )


def _matching(gfile: Any, address: str) -> list[str]:
    if gfile.isdir(address):
        base = address.rstrip("/")
        names = [f"{base}/{name}" for name in gfile.listdir(address) if not name.endswith("/")]
    else:
        names = gfile.glob(address) or gfile.glob(address + "*")
    return sorted(name for name in names if not gfile.isdir(name))


def _below(gfile: Any, address: str) -> list[str]:
    if not gfile.isdir(address):
        return []
    return sorted(f"{folder.rstrip('/')}/{name}" for folder, _, names in gfile.walk(address) for name in names)


def _copy(gfile: Any, source: str, target: str) -> None:
    import tensorflow as tf

    try:
        gfile.copy(source, target, overwrite=True)
    except tf.errors.NotFoundError:  # objects need no folder, and get none
        if not gfile.exists(source):
            raise
        gfile.makedirs(target.rpartition("/")[0])
        gfile.copy(source, target, overwrite=True)


def _renew(gfile: Any, *sources_and_targets: str) -> dict[str, str]:
    count = len(sources_and_targets) // 2
    sources, targets = sources_and_targets[:count], sources_and_targets[count:]
    with futures.ThreadPoolExecutor(_WORKERS) as pool:
        problems = pool.map(lambda source, target: _renew_one(gfile, source, pathlib.Path(target)), sources, targets)
        return {source: problem for source, problem in zip(sources, problems, strict=True) if problem}


def _renew_one(gfile: Any, source: str, target: pathlib.Path) -> str | None:
    import tensorflow as tf

    try:
        found = gfile.stat(source)
        if target.is_file():
            there = target.stat()
            if (there.st_size, there.st_mtime_ns) == (found.length, found.mtime_nsec):
                return None
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f"{target.name}.{os.getpid()}.part")
        gfile.copy(source, str(new), overwrite=True)
        os.utime(new, ns=(found.mtime_nsec, found.mtime_nsec))
        new.replace(target)
    except tf.errors.OpError as error:
        return f"it cannot be read ({cli.describe_tf_error(error)})"
    except OSError as error:
        return f"it cannot be copied: {cli.describe_os_error(error)}"
    return None


_ACTIONS: dict[str, Callable[..., Any]] = {"matching": _matching, "below": _below, "copy": _copy, "renew": _renew}


if __name__ == "__main__":
    main()
    os._exit(0)
