"""The real server, and requests to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

from running import ROOT

SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Serving:
    """A running server."""

    process: subprocess.Popen[str]
    url: str

    def post(self, path: str, body: bytes, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named, method="POST")
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return json.loads(response.read())


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[Serving]:
    """A server that says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tfod_transfer.serve", *map(str, arguments), "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        first = process.stdout.readline()
        assert first.startswith("serving "), (first, process.stderr and process.stderr.read())
        assert process.stdout.readline().startswith("ready: ")
        yield Serving(process, first.split()[-1])
    finally:
        process.kill()
        process.communicate()
