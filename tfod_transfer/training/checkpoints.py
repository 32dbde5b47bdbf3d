"""Checkpoints of a run that survive whatever ends it: a full disk, a lost machine, SIGKILL in the middle of a write.

    run.json              what decides the run's result: another run's checkpoints are refused
    latest                one line: the newest checkpoint
    step-00000120-0001/   after 120 steps and 1 validated epoch: weights, optimizer, averages, and state.json
    best-00000100/        the weights of the best epoch so far, and what they find in the validation images

A folder is written under another name, synced and renamed; then the line in `latest` is replaced in the same way. The
checkpoint before stays until the next one is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import TextIO

import numpy as np
import tensorflow as tf

from tfod_transfer import artifact, cli, errors
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.training.run_identity import RunIdentity
from tfod_transfer.training.run_state import RunState

_LATEST = "latest"
_LOCK = "lock"
_STATE = "state.json"
_VARIABLES = "variables"
_DETECTIONS = "detections.npz"
_STEP, _BEST = "step-", "best-"
_KEPT = 2
# What reading a checkpoint raises that is damaged or only half there.
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, AssertionError, RuntimeError, tf.errors.OpError)


class RunCheckpoints:
    """The checkpoints of one run in one folder."""

    def __init__(self, folder: str | os.PathLike[str], identity: RunIdentity) -> None:
        """Takes the folder, which need not exist, and what decides the run's result."""
        self.folder = pathlib.Path(folder).absolute()
        self._identity = identity

    @contextlib.contextmanager
    def opened(self, *, writes: bool = True) -> Iterator[None]:
        """Checks that the checkpoints in the folder are of this run, and keeps others from writing there in the block.

        Args:
          writes: this process is the one that writes; makes the folder.

        Raises:
          CheckpointError: they are of a run that ends otherwise, or another process is writing there.
        """
        file = self.folder / artifact.RUN_FILE
        with contextlib.ExitStack() as held:
            with self._explaining():
                if writes:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._lock(held.enter_context((self.folder / _LOCK).open("w")))
                if file.is_file():
                    self._refuse_another_run(RunIdentity(json.loads(file.read_text(encoding="utf-8"))))
                elif writes:
                    with _replacing_file(file) as scratch:
                        artifact.write_json(scratch, self._identity.values)
            yield

    def save(self, model: tf.Module, state: RunState) -> None:
        """Writes a checkpoint of what `tf.train.Checkpoint` finds in `model`, and `state`.

        Raises:
          CheckpointError: it cannot be written; the one before is still whole.
        """
        name = f"{_STEP}{state.step:08d}-{len(state.history):04d}"
        with self._explaining():
            with _replacing_folder(self.folder / name) as scratch:
                tf.train.Checkpoint(model=model).write(str(scratch / _VARIABLES))
                artifact.write_json(scratch / _STATE, state.to_dict())
            with _replacing_file(self.folder / _LATEST) as file:
                file.write_text(f"{name}\n", encoding="utf-8")
            self._tidy(state)

    def save_best(self, detector: tf.Module, detections: ImageDetections, step: int) -> None:
        """Writes the best weights so far, those of after `step` steps, and what they find; goes before `save`.

        Raises:
          CheckpointError: they cannot be written.
        """
        with self._explaining(), _replacing_folder(self.folder / f"{_BEST}{step:08d}") as scratch:
            tf.train.Checkpoint(detector=detector).write(str(scratch / _VARIABLES))
            columns = {"boxes": detections.boxes, "classes": detections.classes, "scores": detections.scores}
            np.savez(scratch / _DETECTIONS, **columns)

    def restore(self, model: tf.Module, warn: Callable[[str], None]) -> RunState | None:
        """Puts the newest readable checkpoint into `model`; None when there is none.

        Args:
          model: what `save` was given.
          warn: called with a sentence for each checkpoint that cannot be read.

        Raises:
          CheckpointError: there are checkpoints, and none can be read.
        """
        names = self._newest_first()
        for name in names:
            try:
                state = RunState.from_dict(json.loads((self.folder / name / _STATE).read_text(encoding="utf-8")))
                if state.best_step is not None and not (self.folder / self._best_name(state) / _DETECTIONS).is_file():
                    raise FileNotFoundError(f"{self._best_name(state)} is missing")
                tf.train.Checkpoint(model=model).read(str(self.folder / name / _VARIABLES)).assert_consumed()
            except _UNREADABLE as error:
                where = str(self.folder / name)
                warn(f"warning:    {where!r} cannot be read ({_reason(error)}); trying an older checkpoint")
                continue
            return state
        if names:
            raise errors.CheckpointError(
                f"none of the checkpoints in {str(self.folder)!r} can be read; delete the folder to start the run anew."
            )
        return None

    def restore_best(self, detector: tf.Module, state: RunState) -> ImageDetections:
        """Puts the best weights into `detector`; returns what they find in the validation images.

        Raises:
          CheckpointError: they cannot be read.
        """
        folder = self.folder / self._best_name(state)
        try:
            tf.train.Checkpoint(detector=detector).read(str(folder / _VARIABLES)).assert_consumed()
            with np.load(folder / _DETECTIONS) as columns:
                return ImageDetections(columns["boxes"], columns["classes"], columns["scores"])
        except _UNREADABLE as error:
            raise errors.CheckpointError(
                f"the best weights in {str(folder)!r} cannot be read ({_reason(error)})."
            ) from None

    def remove(self) -> None:
        """Deletes the folder: its run has ended well."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _newest_first(self) -> list[str]:
        """Names of the checkpoints; the one that `latest` names comes first."""
        names = sorted((path.name for path in self.folder.glob(f"{_STEP}*") if path.is_dir()), reverse=True)
        file = self.folder / _LATEST
        named = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        return sorted(names, key=lambda name: name != named)

    def _best_name(self, state: RunState) -> str:
        return f"{_BEST}{state.best_step:08d}"

    def _tidy(self, state: RunState) -> None:
        """Deletes all but the newest checkpoints, the best weights that these speak of, and what was cut short."""
        kept = self._newest_first()[:_KEPT]
        states = [json.loads((self.folder / name / _STATE).read_text(encoding="utf-8")) for name in kept]
        best = {f"{_BEST}{each['best_step']:08d}" for each in states if each["best_step"] is not None}
        for path in self.folder.iterdir():
            is_ours = path.name.startswith((_STEP, _BEST, "."))
            if path.is_dir() and is_ours and path.name not in best.union(kept):
                shutil.rmtree(path, ignore_errors=True)

    def _refuse_another_run(self, earlier: RunIdentity) -> None:
        differences = self._identity.differences(earlier)
        if differences:
            raise errors.CheckpointError(
                f"{str(self.folder)!r} holds the checkpoints of a run that ends otherwise: {'; '.join(differences)}. "
                "Start it as it was to go on with it; delete the folder or give another --checkpoint_dir for a new one."
            )

    def _lock(self, file: TextIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.CheckpointError(
                f"another process writes checkpoints in {str(self.folder)!r}: wait for it, or choose another folder."
            ) from None
        except OSError:  # a file system without locks
            pass

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = cli.describe_os_error(error)
        except ValueError as error:
            reason = str(error)
        except tf.errors.OpError as error:
            reason = cli.describe_tf_error(error)
        else:
            return
        raise errors.CheckpointError(f"cannot write a checkpoint in {str(self.folder)!r}: {reason}.") from None


@contextlib.contextmanager
def _replacing_folder(final: pathlib.Path) -> Iterator[pathlib.Path]:
    """A scratch folder that becomes `final` at the end of the block, whole and on the disk."""
    scratch = artifact.scratch_beside(final)
    try:
        yield scratch
        artifact.sync(scratch)
        if final.exists():  # one that could not be read
            final.rename(scratch.with_name(f"{scratch.name}.replaced"))
        scratch.rename(final)
        artifact.sync_entry(final.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _replacing_file(final: pathlib.Path) -> Iterator[pathlib.Path]:
    """A scratch file that becomes `final` at the end of the block, whole and on the disk."""
    scratch = final.with_name(f".{final.name}.partial")
    yield scratch
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    scratch.replace(final)
    artifact.sync_entry(final.parent)


def _reason(error: Exception) -> str:
    if isinstance(error, tf.errors.OpError):
        return cli.describe_tf_error(error)
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def default_folder(model_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Where the checkpoints of a run are unless told otherwise: beside the artifact, since that folder comes whole."""
    target = pathlib.Path(model_dir).absolute()
    return target.with_name(f"{target.name}.checkpoints")
