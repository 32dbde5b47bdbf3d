"""What a run prints; above all that SageMaker's metric definitions find what they look for, and nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest
from epochs import epoch, metrics
from hypothesis import given
from hypothesis import strategies as st

from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.modeling.zoo_checkpoint import RestoreReport
from tfod_transfer.registry import load_registry
from tfod_transfer.training import progress
from tfod_transfer.training.restoring import Restored
from tfod_transfer.training.results import EpochResult, TrainingResult, Validation

# Those that AWS publishes, then those of the package's documents.
REGEXES = {
    "train_loss": r"loss=([0-9\.]+).",
    "val_localization_loss": r"Val_localization=([0-9\.]+)",
    "val_classification_loss": r"Val_classification=([0-9\.]+)",
    "val_mAP": r"Val_mAP=([0-9\.]+)",
    "val_mAP50": r"Val_mAP50=([0-9\.]+)",
}
positive = st.floats(0, 1e9, allow_nan=False)


def test_the_lines_of_an_epoch_are_literal() -> None:
    result = epoch(3, ap=0.5, loss=0.00001234, samples_per_second=0.296)
    result = EpochResult(**{**result.__dict__, "validation": Validation(1e-6, 241507.3912, metrics(0.5))})
    assert progress.epoch_lines(result) == [
        "[Epoch 3], Speed: 0.296 samples/sec, loss=0.00001234.",
        "[Epoch 3], Val_localization=0.000, Val_classification=241507.391",
        "[Epoch 3], Val_mAP=0.5000",
        "[Epoch 3], Val_mAP50=1.0000",
    ]


@given(loss=positive, speed=positive, localization=positive, classification=positive, ap=st.floats(0, 1))
def test_each_published_regex_finds_its_value_once(
    loss: float, speed: float, localization: float, classification: float, ap: float
) -> None:
    validation = Validation(localization, classification, metrics(ap))
    values = {**epoch(7, loss=loss, samples_per_second=speed).__dict__, "validation": validation}
    result = EpochResult(**values)
    text = "\n".join([*progress.epoch_lines(result), progress.outlook_line(result, result, loss)])
    expected = [loss, localization, classification, ap, 2 * ap]
    for (name, regex), value in zip(REGEXES.items(), expected, strict=True):
        (found,) = re.findall(regex, text)
        assert float(found.rstrip(".")) == pytest.approx(value, rel=1e-3, abs=1e-3), name


@pytest.mark.parametrize(
    ("seconds_left", "line"),
    [
        (None, "so far:     best epoch 4 (mAP 0.412), input-bound 3%, 1.5 GB"),
        (180.0, "so far:     best epoch 4 (mAP 0.412), 3 min left, input-bound 3%, 1.5 GB"),
        (0.0, "so far:     best epoch 4 (mAP 0.412), input-bound 3%, 1.5 GB"),
    ],
    ids=["not known yet", "on the way", "the last epoch"],
)
def test_the_line_for_people(seconds_left: float | None, line: str) -> None:
    assert progress.outlook_line(epoch(6), epoch(4, ap=0.412), seconds_left) == line


@pytest.fixture
def result() -> TrainingResult:
    before = Validation(0.5, 0.5, metrics(0.1, cat=0.2, dog=0.0))
    after = Validation(0.4, 0.4, metrics(0.3, cat=0.25, dog=0.35))
    found = ImageDetections(np.zeros((0, 1, 4)), np.zeros((0, 1)), np.zeros((0, 1)))  # type: ignore[arg-type]
    return TrainingResult(before, [epoch(0)], epoch(0), after, found, 1.0)


def restored(kept: tuple[str, ...], new: tuple[str, ...], dropped: tuple[str, ...]) -> Restored:
    spec = load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8")
    return Restored(spec, ("cat", "dog"), (1, 2), RestoreReport("", {}, {}, {}, kept, new, dropped), "an artifact")


def test_the_summary_of_incremental_training_compares_known_and_new_classes(result: TrainingResult) -> None:
    lines = "\n".join(progress.summary_lines("out", result, [], restored(("cat",), ("dog",), ("bird",))))
    assert re.search(r"cat +known +3 +0\.200 -> +0\.250 +\+0\.050\n", lines)
    assert re.search(r"dog +new +3 +0\.000 -> +0\.350 +\+0\.350\n", lines)
    assert "no longer known, since the new data does not have them: bird\n" in lines
    assert "mAP before 0.100, after 0.300 (mAP50 0.200, after 0.600), weights of epoch 0" in lines


def test_the_summary_where_no_class_was_known_is_that_of_the_result(result: TrainingResult) -> None:
    lines = "\n".join(progress.summary_lines("out", result, [], restored((), ("cat", "dog"), ("bird",))))
    assert re.search(r"cat +3 +0\.250 +0\.500\n", lines)
    assert "->" not in lines
    assert "bird" not in lines


def test_the_summary_says_what_to_look_at(result: TrainingResult) -> None:
    lines = progress.summary_lines("out", result, ["highest score: 0.01"], restored((), ("cat", "dog"), ()))
    assert lines[-4:-2] == ["nothing was found right; what to look at:", "  highest score: 0.01"]
    assert lines[-2:] == ["artifact:   out", "SavedModel: out/1"]
