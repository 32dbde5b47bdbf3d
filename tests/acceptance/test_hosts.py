"""Two processes that train together over localhost, as two hosts do."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from running import DEMO, ROOT

pytestmark = pytest.mark.acceptance
Processes = list["subprocess.Popen[str]"]
PATIENCE_SECONDS = 300


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Hosts:
    """Starts of one fit command on two hosts that share a folder; each has a log."""

    def __init__(self, drawn: pathlib.Path, folder: pathlib.Path) -> None:
        self.model, self.checkpoints = folder / "model", folder / "model.checkpoints"
        self._folder = folder
        self._command = [
            *(sys.executable, "-m", "tfod_transfer.fit", "--model_id", DEMO, "--model_dir", str(self.model)),
            *("--training", str(drawn / "training"), "--validation", str(drawn / "validation")),
            *("--epochs", "2", "--seed", "1", "--checkpoint_every", "2"),
        ]

    def start(self) -> Processes:
        workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
        started = []
        for index in range(2):
            task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            with (self._folder / f"log{index}").open("a") as log:
                process = subprocess.Popen(
                    self._command,
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env={**os.environ, "TF_CONFIG": json.dumps(task)},
                )
                started.append(process)
        return started

    def log(self, host: int) -> str:
        return (self._folder / f"log{host}").read_text()

    def statuses(self, processes: Processes) -> list[int]:
        try:
            return [process.wait(PATIENCE_SECONDS) for process in processes]
        finally:
            for process in processes:
                process.kill()

    def wait_until(self, happens: Callable[[], bool], processes: Processes) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not happens():
            assert time.monotonic() < deadline, self.log(0)
            assert all(process.poll() is None for process in processes), self.log(0) + self.log(1)
            time.sleep(0.01)


def test_two_hosts_train_are_stopped_and_killed_and_go_on(
    drawn: pathlib.Path, fitted: tuple[pathlib.Path, object], tmp_path: pathlib.Path
) -> None:
    hosts = Hosts(drawn, tmp_path)
    processes = hosts.start()
    hosts.wait_until(lambda: (hosts.checkpoints / "latest").exists(), processes)
    processes[1].send_signal(signal.SIGTERM)  # the other host alone: both stop after the same step
    assert hosts.statuses(processes) == [143, 143]
    for host in range(2):
        assert "interrupted: stopped by SIGTERM after step" in hosts.log(host).splitlines()[-1], hosts.log(host)

    processes = hosts.start()
    steps = len(list(hosts.checkpoints.glob("step-*")))
    hosts.wait_until(lambda: "[Epoch 0], Val_mAP50" in hosts.log(0) or steps == 0, processes)
    for process in processes:
        process.kill()
    assert hosts.statuses(processes) == [-signal.SIGKILL] * 2

    assert hosts.statuses(hosts.start()) == [0, 0], hosts.log(0) + hosts.log(1)
    assert "2 hosts with 1 device(s) each" in hosts.log(0)
    assert hosts.log(0).count("resumed:    from step") == 2
    assert "[Epoch" not in hosts.log(1)
    assert not hosts.checkpoints.exists()
    alone, together = (json.loads((folder / "metrics.json").read_text()) for folder in (fitted[0], hosts.model))
    assert together["images"] == alone["images"] == 24  # each of them once
    assert together["before"]["AP"] == pytest.approx(alone["before"]["AP"], abs=1e-6)
    for ours, theirs in zip(together["history"], alone["history"], strict=True):
        # Sums in another order, over again in each step.
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
        assert ours["val_localization_loss"] == pytest.approx(theirs["val_localization_loss"], rel=1e-2)
        assert ours["AP"] == pytest.approx(theirs["AP"], abs=0.02)
