"""A real run, ended by signals and by SIGKILL at any moment, goes on and ends with the same bits."""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from running import DEMO, ROOT, Command

pytestmark = pytest.mark.acceptance

# TFOD_TRANSFER_KILLS=20 is the nightly form.
RANDOM_KILLS = int(os.environ.get("TFOD_TRANSFER_KILLS", "3"))
PATIENCE_SECONDS = 240
EPOCHS = 3


class Runs:
    """Starts of one fit command; `model` is its artifact, `checkpoints` the folder beside it."""

    def __init__(self, drawn: pathlib.Path, folder: pathlib.Path) -> None:
        self.model, self.checkpoints = folder / "model", folder / "model.checkpoints"
        self._log = folder / "log"
        self._command = [
            *(sys.executable, "-m", "tfod_transfer.fit", "--model_id", DEMO, "--model_dir", str(self.model)),
            *(
                "--training",
                str(drawn / "training"),
                "--validation",
                str(drawn / "validation"),
                "--epochs",
                str(EPOCHS),
            ),
            *("--deterministic", "True", "--checkpoint_every", "2", "--ema_decay", "0.9", "--augmentation", "strong"),
        ]

    def start(self, *more: str) -> subprocess.Popen[str]:
        with self._log.open("a") as log:
            return subprocess.Popen([*self._command, *more], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def finish(self) -> None:
        assert self.start().wait(PATIENCE_SECONDS) == 0, self.log

    def kill_when(self, happens: Callable[[], bool], number: signal.Signals = signal.SIGKILL) -> int:
        """Starts the command and sends it a signal as soon as something happens; returns its exit status."""
        process = self.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while process.poll() is None and not happens():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.001)
        assert process.poll() is None, f"it ended before the moment came:\n{self.log}"
        process.send_signal(number)
        return process.wait(PATIENCE_SECONDS)

    def weights(self) -> dict[str, np.ndarray]:
        reader = tf.train.load_checkpoint(str(self.model / "checkpoint"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}

    def history(self) -> list[dict[str, float]]:
        """Of each epoch what every run repeats."""
        machine = {"samples_per_second", "input_bound", "memory_bytes"}
        history = json.loads((self.model / "metrics.json").read_text())["history"]
        return [{name: value for name, value in epoch.items() if name not in machine} for epoch in history]


@pytest.fixture(scope="module")
def whole(drawn: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run that nothing ended early."""
    runs = Runs(drawn, tmp_path_factory.mktemp("whole"))
    runs.finish()
    return runs


def assert_same(runs: Runs, whole: Runs) -> None:
    expected, found = whole.weights(), runs.weights()
    assert found.keys() == expected.keys()
    assert len(found) > 300
    different = [name for name, value in expected.items() if not np.array_equal(found[name], value)]
    assert different == []
    assert runs.history() == whole.history()
    assert len(runs.history()) == EPOCHS
    assert not runs.checkpoints.exists()
    assert not list(runs.model.parent.glob(".model.*"))


def test_sigkill_while_it_writes_and_at_any_moment(whole: Runs, drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs = Runs(drawn, tmp_path)
    checkpoints, chance = runs.checkpoints, random.Random()
    assert runs.kill_when(lambda: any(checkpoints.glob(".step-00000006*"))) == -signal.SIGKILL  # the name of a scrap
    assert runs.kill_when(lambda: any(checkpoints.glob(".best-00000012*"))) == -signal.SIGKILL
    for _ in range(RANDOM_KILLS):
        process = runs.start()
        try:
            process.wait(chance.uniform(2, 15))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if not runs.model.exists():
        assert runs.kill_when(lambda: any(tmp_path.glob(".model.partial-*"))) == -signal.SIGKILL
        assert not runs.model.exists()
    runs.finish()
    assert_same(runs, whole)
    assert "resumed:    from step" in runs.log


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_it_with_one_line_and_the_same_command_goes_on(
    number: signal.Signals, status: int, whole: Runs, drawn: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs = Runs(drawn, tmp_path)
    assert runs.kill_when(lambda: "[Epoch 0], Val_mAP50" in runs.log, number) == status, runs.log
    (line,) = re.findall(r"^interrupted: .*$", runs.log, re.MULTILINE)
    assert re.match(rf"interrupted: stopped by {number.name} after step \d+ of 18; the same command goes on", line)
    assert "Traceback" not in runs.log
    assert not runs.model.exists()
    runs.finish()
    assert "resumed:    from step" in runs.log
    assert_same(runs, whole)


def test_the_same_command_again_finds_it_done(whole: Runs) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.model.rglob("*")}
    whole.finish()
    assert whole.log.splitlines()[-1].startswith("finished:   this very run left its artifact")
    assert {path: path.stat().st_mtime_ns for path in whole.model.rglob("*")} == before


def test_other_hyperparameters_do_not_go_on(drawn: pathlib.Path, tmp_path: pathlib.Path, command: Command) -> None:
    runs = Runs(drawn, tmp_path)
    runs.kill_when(lambda: (runs.checkpoints / "latest").exists())
    process = runs.start("--learning_rate", "0.003", "--batch_size", "4")
    assert process.wait(PATIENCE_SECONDS) == 2
    last = runs.log.splitlines()[-1]
    assert last.startswith("error: ")
    assert "learning_rate: was 0.002, is 0.003" in last
    assert "batch_size: was 8, is 4" in last
    assert (runs.checkpoints / "latest").exists()


def test_before_training_a_signal_leaves_nothing(drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs = Runs(drawn, tmp_path)
    assert runs.kill_when(lambda: "training: " in runs.log, signal.SIGTERM) == 143
    assert runs.log.splitlines()[-1] == "interrupted: stopped on request; nothing was exported"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
