"""A model that learned some classes learns another one, with old images replayed among the new ones."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from running import DEMO, Command, Done

from tfod_transfer.demo import shapes

pytestmark = pytest.mark.acceptance

OLD, NEW = shapes.TARGET_CLASSES, "star"


def test_replayed_images_keep_the_old_classes(
    fitted: tuple[pathlib.Path, Done], drawn: pathlib.Path, command: Command, tmp_path: pathlib.Path
) -> None:
    shapes.generate(tmp_path / "training", (NEW,), 16, seed=5)
    shapes.generate(tmp_path / "validation", (NEW, *OLD), 16, seed=6)
    done = command(
        "fit",
        *("--model_id", DEMO, "--pretrained", fitted[0], "--model_dir", tmp_path / "model", "--epochs", 1),
        *("--training", tmp_path / "training", "--validation", tmp_path / "validation"),
        *("--replay", drawn / "training", "--replay_share", 0.6),
    )
    assert done.status == 0, done.error
    # 24 of the 40 images: 0.6 of all.
    assert re.search(r"^training: +40 images, .*; replayed: 24 of 48 images of .*training", done.output, re.MULTILINE)
    assert f"class rows kept:    {', '.join(OLD)}\n" in done.output
    assert f"class rows new:     {NEW}\n" in done.output
    assert "class rows dropped: none\n" in done.output
    assert json.loads((tmp_path / "model" / "labels_info.json").read_text())["labels"] == ["N/A", NEW, *OLD]
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["per_class"].keys() == {NEW, *OLD}
    for name in (NEW, *OLD):
        (row,) = re.findall(rf"^{name} .*$", done.output, re.MULTILINE)
        assert f"{metrics['per_class'][name]['AP']:.3f}" in row
        assert ("new" in row) == (name == NEW), row
    split = json.loads((tmp_path / "model" / "split.json").read_text())
    assert len(split["training"]) == 40
    assert sum(str(image).startswith("replay ") for image in split["training"]) > 0
