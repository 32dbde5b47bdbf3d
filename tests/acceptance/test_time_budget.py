"""A run that has no time for all of its epochs."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from running import ARTIFACT_FILES, DEMO, Command

pytestmark = pytest.mark.acceptance

MAX_TIME, EPOCHS = 30, 500


def test_a_run_without_time_for_its_epochs_ends_with_an_artifact(
    drawn: pathlib.Path, command: Command, tmp_path: pathlib.Path
) -> None:
    done = command(
        "fit",
        *("--model_id", DEMO, "--training", drawn / "training", "--validation", drawn / "validation"),
        *("--model_dir", tmp_path / "model", "--epochs", EPOCHS, "--max_time", MAX_TIME),
    )
    assert done.status == 0, done.error
    planned = re.findall(rf"^time: +([0-9.]+) of {EPOCHS} epochs fit into {MAX_TIME} s$", done.output, re.MULTILINE)
    assert {path.name for path in (tmp_path / "model").iterdir()} == ARTIFACT_FILES
    history = json.loads((tmp_path / "model" / "metrics.json").read_text())["history"]
    # A part of an epoch is validated as well.
    assert len(history) - 1 < float(planned[-1]) <= len(history) < EPOCHS
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
