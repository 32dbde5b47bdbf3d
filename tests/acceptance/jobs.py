"""What AWS's services do with a job, by this package's commands."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tarfile
from typing import Any

from running import ROOT
from served import started


def fit(folder: pathlib.Path, channels: dict[str, pathlib.Path], **hyperparameters: object) -> pathlib.Path:
    """Runs a training job; returns its model.tar.gz, beside which its log is `log`."""
    values = {name: str(value) for name, value in hyperparameters.items()}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    environ |= {f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()}
    environ |= {
        "SAGEMAKER_BASE_DIR": str(folder),
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DATA_DIR": str(folder / "output" / "data"),
        "SM_HPS": json.dumps(values),
    }
    arguments = [argument for name, value in values.items() for argument in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "scripts/transfer_learning.py", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder / "log").write_text(done.stdout)
    archive = folder / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in (folder / "model").iterdir():
            tar.add(path, path.name)
    return archive


def deploy(archive: pathlib.Path, folder: pathlib.Path) -> Any:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return started(folder)
