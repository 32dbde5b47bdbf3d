"""Tries what the Dockerfile says, where no container engine runs: `python scripts/check_dockerfile.py [--only_read]`.

Reads its instructions, holds them to rules of good images, copies what they copy into an empty folder (and nothing that
.dockerignore keeps back), installs the package from there, and then, in a stand-in of /opt/ml, runs `train` and `serve`
as SageMaker starts them. The locked packages are not installed: this interpreter's take their place.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
KNOWN = ("FROM", "LABEL", "ENV", "WORKDIR", "COPY", "RUN", "EXPOSE", "CMD")
SECONDS = 1200
MODEL_ID = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"


class Instruction(NamedTuple):
    """One instruction, its continued lines joined."""

    line: int
    name: str
    value: str


def parse(text: str) -> list[Instruction]:
    """Reads a Dockerfile."""
    found, start, pending = [], 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or pending):
            continue
        start = start or number
        pending += line.strip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            name, _, value = pending.partition(" ")
            found.append(Instruction(start, name.upper(), value.strip()))
            start, pending = 0, ""
    return found


def problems(instructions: Sequence[Instruction], context: pathlib.Path) -> Iterator[str]:
    """Sentences on what is wrong."""
    if not instructions or instructions[0].name != "FROM":
        yield "the first instruction is not FROM."
    for line, name, value in instructions:
        if name not in KNOWN:
            yield f"line {line}: {name} is not one of {', '.join(KNOWN)}, which is what this check understands."
        if name == "FROM" and not re.fullmatch(r"[\w./-]+:(?!latest)[\w.-]+(@sha256:[0-9a-f]{64})?", value):
            yield f"line {line}: {value} names no version of its image."
        if name == "RUN" and "pip install" in value and "--no-cache-dir" not in value:
            yield f"line {line}: pip leaves its cache in the image; add --no-cache-dir."
        if name == "WORKDIR" and not value.startswith("/"):
            yield f"line {line}: {value} depends on the instructions before; write an absolute folder."
        if name == "CMD" and not _is_exec_form(value):
            yield f'line {line}: a shell would keep SIGTERM to itself; write ["command", "argument"].'
        if name == "COPY":
            yield from (f"line {line}: {problem}" for problem in _copy_problems(value, context))


def _copy_problems(value: str, context: pathlib.Path) -> Iterator[str]:
    patterns = _ignore_patterns(context)
    *sources, target = shlex.split(value)
    if len(sources) > 1 and not target.endswith("/"):
        yield f"several files are copied to {target}, which must then end with a slash."
    for source in sources:
        path = context / source
        if not path.exists():
            yield f"{source} does not exist."
        elif not any(path.rglob("*") if path.is_dir() else [path]):
            yield f"{source} is empty."
        elif _is_ignored(source, patterns):
            yield f"{source} is kept back by .dockerignore."


def _is_exec_form(value: str) -> bool:
    try:
        words = json.loads(value)
    except ValueError:
        return False
    return isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words)


def _ignore_patterns(context: pathlib.Path) -> list[str]:
    file = context / ".dockerignore"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore keeps a file back: the last pattern that fits it, or a folder above it, decides."""
    parts = pathlib.PurePosixPath(path).parts
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    ignored = False
    for pattern in patterns:
        plain = pattern.removeprefix("!").removeprefix("**/")
        anywhere = pattern.removeprefix("!").startswith("**/")
        names = [*above, *parts] if anywhere else above
        if any(fnmatch.fnmatchcase(name, plain) for name in names):
            ignored = not pattern.startswith("!")
    return ignored


def build(instructions: Sequence[Instruction], context: pathlib.Path, root: pathlib.Path) -> dict[str, str]:
    """Carries out in `root` what can be; returns the environment that the image's commands get."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "SAGEMAKER_"))}
    python, packages, folder = root / "usr/local/bin/python", root / "packages", root
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    environment |= {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(packages)}
    for _, name, value in instructions:
        if name == "ENV":
            environment |= dict(word.split("=", 1) for word in shlex.split(value))
        elif name == "WORKDIR":
            folder = root / value.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            _copy(value, context, root, folder)
        elif name == "RUN" and " -r " in value:
            _check_lock(folder / value.split(" -r ")[1].split()[0])
            print(f"left out:  {value}")
        elif name == "RUN":
            command = value.replace("pip install", f"pip install --quiet --target {shlex.quote(str(packages))}")
            print(f"run:       {value}", flush=True)
            subprocess.run(command, shell=True, cwd=folder, env=environment, check=True)
    return environment


def _copy(value: str, context: pathlib.Path, root: pathlib.Path, folder: pathlib.Path) -> None:
    patterns = _ignore_patterns(context)
    *sources, target = shlex.split(value)
    place = root / target.lstrip("/") if target.startswith("/") else folder / target
    for source in sources:
        path = context / source
        files = [file for file in path.rglob("*") if not file.is_dir()] if path.is_dir() else [path]
        for file in files:
            if not _is_ignored(file.relative_to(context).as_posix(), patterns):
                inside = file.relative_to(path) if path.is_dir() else file.name if target.endswith("/") else ""
                (place / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place / inside, follow_symlinks=False)
    print(f"copied:    {value}")


def _check_lock(lock: pathlib.Path) -> None:
    entries = re.split(r"\n(?=\w)", lock.read_text().strip())
    unpinned = [entry.split()[0] for entry in entries if "==" not in entry or "--hash=" not in entry]
    if unpinned:
        raise SystemExit(f"error: {lock.name} does not pin {', '.join(unpinned)}")


def train_and_serve(root: pathlib.Path, environment: dict[str, str]) -> None:
    """Runs the image's two commands in a stand-in of /opt/ml."""
    base = root / "opt/ml"
    environment = {**environment, "SAGEMAKER_BASE_DIR": str(base), "TFOD_TRANSFER_CACHE": str(root / "cache")}
    where = "import tfod_transfer; print(tfod_transfer.__file__)"
    found = subprocess.run(
        ["python", "-c", where], cwd=base, env=environment, text=True, stdout=subprocess.PIPE, check=True
    )
    if not found.stdout.startswith(str(root)):
        raise SystemExit(f"error: the commands would run {found.stdout.strip()}, not the installed package")
    training = base / "input/data/training"
    draw = f"from tfod_transfer.demo.shapes import *; generate({str(training)!r}, TARGET_CLASSES, 12, 1)"
    subprocess.run(["python", "-c", draw], cwd=base, env=environment, check=True)
    _write(base / "input/config/hyperparameters.json", {"model_id": MODEL_ID, "epochs": "1", "batch_size": "4"})
    _write(base / "input/config/resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    (base / "model").mkdir(parents=True)
    subprocess.run(["train"], cwd=base, env=environment, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)
    print(f"train:     status 0, {len(list((base / 'model').iterdir()))} files and folders in model/")
    image = next(iter(sorted((base / "input/data/training/images").iterdir())))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(["serve"], cwd=base, env={**environment, "SAGEMAKER_BIND_TO_PORT": str(port)})
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", process)
        request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", image.read_bytes())
        request.add_header("Content-Type", "application/x-image")
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            answer = json.loads(response.read())
        process.send_signal(signal.SIGTERM)
        status = process.wait(SECONDS)
    finally:
        process.kill()
    if status:
        raise SystemExit(f"error: serve ended with status {status} after SIGTERM")
    print(f"serve:     {len(answer['scores'])} boxes, status 0 after SIGTERM")


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"error: {url} does not become healthy")


def _write(path: pathlib.Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def main() -> None:
    """Reads, and unless --only_read is given, builds and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only_read", action="store_true", help="look for problems; run nothing")
    options = parser.parse_args()
    instructions = parse((ROOT / "Dockerfile").read_text())
    found = list(problems(instructions, ROOT))
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if found:
        raise SystemExit(2)
    print(f"read:      {len(instructions)} instructions, no problems")
    if not options.only_read:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            train_and_serve(root, build(instructions, ROOT, root))


if __name__ == "__main__":
    main()
