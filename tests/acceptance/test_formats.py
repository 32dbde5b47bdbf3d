"""Training on the same images in other formats: the same first epoch, to the last bit."""

from __future__ import annotations

import json
import pathlib

import pytest
from running import DEMO, Command

pytestmark = pytest.mark.acceptance

MEASURED = (
    "loss",
    "localization_loss",
    "classification_loss",
    "val_localization_loss",
    "val_classification_loss",
    "AP",
)
OTHERS = ("recordio", "voc")


def test_every_format_gives_the_same_first_epoch(drawn: pathlib.Path, command: Command, tmp_path: pathlib.Path) -> None:
    places = {"tf_json": drawn}
    for name in OTHERS:
        places[name] = tmp_path / name
        for part in ("training", "validation"):
            done = command("convert", drawn / part, tmp_path / name / part, "--to", name)
            assert done.status == 0, done.error
    epochs = {}
    for name, place in places.items():
        done = command(
            "fit",
            *("--model_id", DEMO, "--training", place / "training", "--validation", place / "validation"),
            *("--model_dir", tmp_path / f"{name}_model", "--epochs", 1, "--seed", 1, "--deterministic", True),
        )
        assert done.status == 0, done.error
        (epoch,) = json.loads((tmp_path / f"{name}_model" / "metrics.json").read_text())["history"]
        epochs[name] = {key: epoch[key] for key in MEASURED}
    assert epochs == dict.fromkeys(epochs, epochs["tf_json"])
