"""What acceptance tests share: the commands, drawn data, and one artifact."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from buckets import Bucket
from moto.server import ThreadedMotoServer
from running import DEMO, Command, Done, run_command

from tfod_transfer.demo import shapes


@pytest.fixture(scope="session")
def command() -> Command:
    return run_command


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with `training` (48 images of four shapes that the demo model does not know) and `validation` (24)."""
    folder = tmp_path_factory.mktemp("drawn")
    shapes.generate(folder / "training", shapes.TARGET_CLASSES, 48, seed=3)
    shapes.generate(folder / "validation", shapes.TARGET_CLASSES, 24, seed=4)
    return folder


@pytest.fixture(scope="session")
def fitted(drawn: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, Done]:
    """An artifact of two epochs on drawn shapes, and what the command printed."""
    model_dir = tmp_path_factory.mktemp("fitted") / "model"
    done = run_command(
        "fit",
        *("--model_id", DEMO, "--training", drawn / "training", "--validation", drawn / "validation"),
        *("--model-dir", model_dir, "--epochs", 2, "--seed", 1),
    )
    assert done.status == 0, done.error
    return model_dir, done


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield Bucket(server.get_host_and_port()[1])
    server.stop()
