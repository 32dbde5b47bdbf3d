"""The log of SageMaker's Object Detection: its published metric definitions find their numbers in it."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import types

import pytest
from epochs import NOTHING_FOUND, epoch
from published_metrics import OBJECT_DETECTION

from tfod_transfer import ssd_hyperparameters
from tfod_transfer.training.results import EpochResult
from tfod_transfer.training.run_state import RunState
from tfod_transfer.training.ssd_log import SsdLog

STEPS = 250


def log_of(history: list[EpochResult], monkeypatch: pytest.MonkeyPatch, **asked: object) -> None:
    """Tells a log of the steps and epochs of a run of two epochs."""
    monkeypatch.setenv("SM_CURRENT_HOST", "algo-1")
    settings = types.SimpleNamespace(batch_size=16, epochs=2)
    trainer = types.SimpleNamespace(
        steps_per_epoch=STEPS,
        hyperparameters=settings,
        num_images=4000,
        validation_set=types.SimpleNamespace(class_names=("a", "b")),
    )
    state = RunState(planned_steps=2 * STEPS)
    log = SsdLog(lambda: state, trainer, pathlib.Path("/opt/ml/run"), ssd_hyperparameters.resolve(asked))
    for result in history:
        for step in range(result.epoch * STEPS, (result.epoch + 1) * STEPS):
            log.on_step(step, {}, 0.001)
            state.step = step + 1
        state.history.append(result)
        maps = [each.validation.overlap_map or 0.0 for each in state.history]
        state.best_epoch = maps.index(max(maps))
        state.best_step = (state.best_epoch + 1) * STEPS
        log.on_epoch(result, NOTHING_FOUND)
    log.close()


def with_map(number: int, score: float) -> EpochResult:
    result = epoch(number)
    return dataclasses.replace(result, validation=dataclasses.replace(result.validation, overlap_map=score))


def test_every_published_definition_finds_its_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_of([with_map(0, 0.199), with_map(1, 0.1)], monkeypatch)
    printed = capsys.readouterr().out
    found = {name: re.findall(pattern, printed) for name, pattern in OBJECT_DETECTION.items()}
    assert found == {
        "train:progress": ["50.0", "100.0"],
        "train:smooth_l1": ["(0.5)"] * 2,
        "train:cross_entropy": ["(0.75)"] * 2,
        "train:throughput": ["12.5"] * 2,
        "validation:mAP": ["0.199", "0.1"],
    }


def test_lines_are_literally_those_of_the_algorithm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_of([with_map(0, 0.199), with_map(1, 0.1)], monkeypatch, num_classes=2)
    lines = capsys.readouterr().out.splitlines()
    texts = []
    for line in lines:
        head = re.match(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d INFO \d+\] ", line)
        assert head, line
        texts.append(line[head.end() :])
    assert "num_training_samples': u'4000'" in texts[0]
    assert texts[0].startswith("Final configuration: {u'base_network': u'vgg-16', ")
    assert texts[1] == "Training images are resized to image shape (3, 300, 300)"
    speed = r"Epoch:    0, batches:    100, num_examples:   1600, \d+\.\d samples/sec, epoch time so far:  0:00:00\.\d+"
    assert re.fullmatch(speed, texts[2])
    assert texts[3].startswith("Epoch:    0, batches:    200, num_examples:   3200, ")
    assert texts[4:11] == [
        "#quality_metric: host=algo-1, epoch=0, batch=250 train cross_entropy <loss>=(0.75)",
        "#quality_metric: host=algo-1, epoch=0, batch=250 train smooth_l1 <loss>=(0.5)",
        "#quality_metric: host=algo-1, epoch=0, validation mAP <score>=(0.199)",
        "Updating the best model with validation-mAP=0.199",
        'Saved checkpoint to "/opt/ml/run/best-00000250"',
        "#progress_metric: host=algo-1, completed 50.0 % of epochs",
        "#throughput_metric: host=algo-1, train throughput=12.5 records/second",
    ]
    assert sum("Updating the best model" in text for text in texts) == 1


def test_what_the_data_says_is_told_as_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_of([], monkeypatch, num_training_samples=7, base_network="resnet-50", image_shape=512)
    printed = capsys.readouterr().out
    assert "u'num_training_samples': u'7'" in printed
    assert "u'num_classes': u'2'" in printed
    assert "u'use_pretrained_model': u'1'" in printed
    assert "image shape (3, 512, 512)" in printed
