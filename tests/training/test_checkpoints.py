"""Checkpoints: whole or not there, of this run or refused, the one before when the newest is spoilt."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import resource
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tensorflow as tf
from epochs import NOTHING_FOUND, epoch

from tfod_transfer import errors
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.training import checkpoints as checkpoints_module
from tfod_transfer.training.checkpoints import RunCheckpoints
from tfod_transfer.training.run_identity import RunIdentity
from tfod_transfer.training.run_state import RunState

IDENTITY = RunIdentity({"learning_rate": 0.1, "training": {"images": 3, "boxes": 7, "digest": "ab"}})


class Model(tf.Module):
    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = tf.Variable([float(value)] * 1000)


def state(step: int) -> RunState:
    return RunState(planned_steps=30, step=step, epoch_losses={"loss": 0.1 + 0.2}, epoch_steps=1, history=[epoch(0)])


def detections(score: float) -> ImageDetections:
    return dataclasses.replace(NOTHING_FOUND, scores=np.full((1, 1), score, np.float32))


@pytest.fixture
def kept(tmp_path: pathlib.Path) -> RunCheckpoints:
    checkpoints = RunCheckpoints(tmp_path / "run", IDENTITY)
    with checkpoints.opened():
        for step in (10, 20):
            checkpoints.save(Model(step), state(step))
    return checkpoints


def restored(checkpoints: RunCheckpoints) -> tuple[RunState | None, float, list[str]]:
    model, told = Model(), []
    found = checkpoints.restore(model, told.append)
    return found, float(model.value[0]), told


def test_the_newest_comes_back_bit_for_bit(kept: RunCheckpoints) -> None:
    found, value, told = restored(kept)
    assert found == state(20)
    assert value == 20
    assert told == []


def test_nothing_is_restored_from_nothing(tmp_path: pathlib.Path) -> None:
    assert restored(RunCheckpoints(tmp_path / "run", IDENTITY)) == (None, 0, [])


def newest(folder: pathlib.Path) -> pathlib.Path:
    return folder / (folder / "latest").read_text().strip()


def truncate(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: truncate(folder / "variables.data-00000-of-00001"),
        lambda folder: flip_a_bit(folder / "variables.data-00000-of-00001"),
        lambda folder: truncate(folder / "variables.index"),
        lambda folder: (folder / "variables.index").unlink(),
        lambda folder: truncate(folder / "state.json"),
        lambda folder: (folder / "state.json").write_text("{}"),
        lambda folder: (folder / "state.json").write_text('{"step": 3}'),
        lambda folder: (folder / "state.json").unlink(),
    ],
    ids=["data cut", "bit flipped", "index cut", "no index", "state cut", "empty state", "half a state", "no state"],
)
def test_an_unreadable_one_is_named_and_the_one_before_is_taken(
    kept: RunCheckpoints, spoil: Callable[[pathlib.Path], None]
) -> None:
    spoilt = newest(kept.folder)
    spoil(spoilt)
    found, value, told = restored(kept)
    assert found == state(10)
    assert value == 10
    (warning,) = told
    assert str(spoilt) in warning
    with kept.opened():
        kept.save(Model(20), state(20))  # the run comes to the same step again
    assert restored(kept) == (state(20), 20, [])


def test_when_none_can_be_read_the_run_stops(kept: RunCheckpoints) -> None:
    for folder in kept.folder.glob("step-*"):
        (folder / "state.json").unlink()
    with pytest.raises(errors.CheckpointError, match="none of the checkpoints"):
        restored(kept)


def test_two_are_kept_and_scraps_go(kept: RunCheckpoints) -> None:
    (kept.folder / ".step-00000030-0001.scrap").mkdir()
    (kept.folder / "mine").mkdir()
    with kept.opened():
        kept.save(Model(30), state(30))
    names = {path.name for path in kept.folder.iterdir() if path.is_dir()}
    assert names == {"step-00000020-0001", "step-00000030-0001", "mine"}


def test_the_best_stays_as_long_as_a_checkpoint_speaks_of_it(tmp_path: pathlib.Path) -> None:
    kept = RunCheckpoints(tmp_path, IDENTITY)
    with kept.opened():
        for step, best in ((10, 10), (20, 10), (30, 30), (40, 30)):
            now = state(step)
            now.best_epoch, now.best_step = 0, best
            if best == step:
                kept.save_best(Model(best + 0.5), detections(best), best)
            kept.save(Model(step), now)
            model = Model()
            assert kept.restore_best(model, now).scores.tolist() == [[best]]
            assert float(model.value[0]) == best + 0.5
    assert {path.name for path in tmp_path.glob("best-*")} == {"best-00000030"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o002, 0o775), (0o077, 0o700)], ids=oct)
def test_folders_are_for_whom_the_umask_says(umask: int, mode: int, tmp_path: pathlib.Path) -> None:
    before = os.umask(umask)
    try:
        kept = RunCheckpoints(tmp_path / "run", IDENTITY)
        with kept.opened():
            kept.save_best(Model(), detections(0.5), 10)
            kept.save(Model(), dataclasses.replace(state(10), best_epoch=0, best_step=10))
    finally:
        os.umask(before)
    folders = [kept.folder, *(path for path in kept.folder.iterdir() if path.is_dir())]
    assert [oct(path.stat().st_mode & 0o777) for path in folders] == [oct(mode)] * 3


@pytest.mark.parametrize("cut", ["state", "rename", "pointer"])
def test_a_write_that_is_cut_short_leaves_the_one_before(
    cut: str, kept: RunCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise KilledError

    if cut == "state":
        monkeypatch.setattr(checkpoints_module.artifact, "write_json", die)
    elif cut == "rename":
        monkeypatch.setattr(pathlib.Path, "rename", die)
    else:
        monkeypatch.setattr(pathlib.Path, "replace", die)
    with pytest.raises(KilledError), kept.opened():
        kept.save(Model(30), state(30))
    monkeypatch.undo()
    assert restored(kept) == (state(20), 20, [])


def test_another_run_is_refused_with_what_differs(kept: RunCheckpoints) -> None:
    other = {"learning_rate": 0.2, "training": {"images": 4, "boxes": 7, "digest": "cd"}, "seed": 1}
    with pytest.raises(errors.CheckpointError) as error, RunCheckpoints(kept.folder, RunIdentity(other)).opened():
        pass
    for words in (
        "learning_rate: was 0.1, is 0.2",
        "training: was 3 images, 7 boxes, ab, is 4 images, 7 boxes, cd",
        "seed: was not there, is 1",
        str(kept.folder),
    ):
        assert words in str(error.value)


def test_two_processes_do_not_write_in_one_folder(kept: RunCheckpoints) -> None:
    other = RunCheckpoints(kept.folder, IDENTITY)
    with kept.opened():
        with pytest.raises(errors.CheckpointError, match="another process"), other.opened():
            pass
        with other.opened(writes=False):  # another host of the same run
            pass
    with other.opened():
        pass


@pytest.mark.skipif(os.geteuid() == 0 and not pathlib.Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_is_one_sentence(kept: RunCheckpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: pathlib.Path, value: object) -> None:
        with open("/dev/full", "w") as file:
            json.dump({"text": "x" * 100_000}, file)

    monkeypatch.setattr(checkpoints_module.artifact, "write_json", full)
    with pytest.raises(errors.CheckpointError, match=r"cannot write a checkpoint in .*the disk is full"), kept.opened():
        kept.save(Model(30), state(30))
    monkeypatch.undo()
    assert restored(kept)[1] == 20


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As on a disk that has no more space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_tensorflow_cannot_write_or_read_is_told_without_its_nodes(tmp_path: pathlib.Path) -> None:
    kept = RunCheckpoints(tmp_path, IDENTITY)
    messages, now = [], dataclasses.replace(state(10), best_epoch=0, best_step=10)
    with kept.opened():
        with pytest.raises(errors.CheckpointError, match="File too large") as caught, no_file_beyond(1000):
            kept.save(Model(), now)
        messages.append(str(caught.value))
        kept.save_best(Model(), detections(0.5), 10)
        kept.save(Model(), now)
    for folder in (newest(tmp_path), tmp_path / "best-00000010"):
        flip_a_bit(folder / "variables.data-00000-of-00001")
    with pytest.raises(errors.CheckpointError, match="none of"):
        kept.restore(Model(), messages.append)
    with pytest.raises(errors.CheckpointError, match="the best weights") as caught:
        kept.restore_best(Model(), now)
    messages.append(str(caught.value))
    assert len(messages) == 3
    for message in messages:
        assert str(tmp_path) in message
        assert not re.search(r"\{\{|\[Op:|\n|\.\.$", message), message


def test_a_state_survives_json() -> None:
    before = state(7)
    assert RunState.from_dict(json.loads(json.dumps(before.to_dict()))) == before
