"""Runs the commands as a person does."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"

# What is in the folder that a training leaves.
ARTIFACT_FILES = {
    *("1", "labels_info.json", "__model_info__.json", "checkpoint", "code", "run.json", "hyperparameters.json"),
    *("metrics.json", "report.html", "model_card.md", "predictions", "tensorboard"),
    *("restore.json", "restore.txt", "findings.json", "split.json"),
}

Command = Callable[..., "Done"]


@dataclasses.dataclass(frozen=True)
class Done:
    """A finished command."""

    status: int
    output: str
    error: str


def run_command(module: str, *arguments: object, environ: Mapping[str, str] | None = None, **options: object) -> Done:
    """Runs `python -m tfod_transfer.MODULE ARGUMENTS` to its end; `environ` is added to this process's own."""
    command: Sequence[str] = [sys.executable, "-m", f"tfod_transfer.{module}", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    environment |= environ or {}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False, **options)
    return Done(done.returncode, done.stdout, done.stderr)
