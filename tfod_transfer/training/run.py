"""A run from its first step, or from its newest checkpoint, to its last."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

import psutil

from tfod_transfer import errors
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.training import objective
from tfod_transfer.training.checkpoints import RunCheckpoints
from tfod_transfer.training.interruption import StopRequests
from tfod_transfer.training.loop import Batch
from tfod_transfer.training.pace import Pace
from tfod_transfer.training.results import EpochResult, Listener, TrainingResult, Validation
from tfod_transfer.training.run_state import RunState

if TYPE_CHECKING:
    from tfod_transfer.training.trainer import Trainer

# Of a process with a time budget: steps after which it is first known how many more will fit.
_PACE_STEPS = 20
# Of the time of the first validation, kept for the export: in processor time it took .7 to 1.3 of it (demo, 320 model).
_EXPORT_SHARE = 1.6
# Of the budget, kept for the end of the process and for estimates that were too low.
_MARGIN_SHARE, _MARGIN_SECONDS = 0.02, 1.0


class Run:
    """Trains, validates, keeps checkpoints and the best weights; stops when it is over, asked to, or out of time.

    Attributes:
      listeners: are told of each step and epoch.
      state: where the run is.
    """

    def __init__(
        self,
        trainer: Trainer,
        checkpoints: RunCheckpoints,
        stop_requests: StopRequests,
        tell: Callable[[str], None] = print,
        started: float | None = None,
    ) -> None:
        """Takes what the run is made of.

        Args:
          trainer: steps and validation.
          checkpoints: where they are kept, opened.
          stop_requests: signals that end the run after a step.
          tell: is given sentences for the person who runs it.
          started: `time.monotonic()` when the process took up the run; now, if not given.
        """
        self._trainer = trainer
        self._settings = trainer.hyperparameters
        self._devices = trainer.devices
        self._checkpoints = checkpoints
        self._stop_requests = stop_requests
        self.listeners: list[Listener] = []
        self._tell = tell
        self._started = time.monotonic() if started is None else started
        self._earlier_seconds = 0.0
        self._pace = Pace()
        self._first_step = 0  # of this process
        self._last_gap = 0.0  # seconds from an epoch's last step to the next epoch; 0: not known yet
        self._after_plan = 0.0  # the part of it in which a checkpoint is written and the listeners are told
        self.state = RunState(planned_steps=trainer.total_steps)

    def finish(self) -> TrainingResult | None:
        """Goes on to the end; leaves the detector with the best epoch's weights.

        Returns:
          What the run gave; None on hosts other than the first, which alone has the best weights.

        Raises:
          StoppedError: a signal asked for it; where training had begun, the checkpoint of the last step is written.
          TrainingError: a loss is not finite.
          CheckpointError: a checkpoint cannot be written or read.
        """
        self._resume()
        trainer, state = self._trainer, self.state
        with self._stop_requests.deferred(), self._closing_listeners():
            if state.before is None:
                found = self._validated()
                if found is None:
                    self._stop()
                state.before, _ = found
                self._save()
            batches = self._batches()
            while not self._is_over():
                self._train_epoch(batches)
                self._validate_epoch()
        if not self._devices.cluster.is_chief:
            return None
        if state.best is not None:
            final = state.best.validation
            detections = self._checkpoints.restore_best(trainer.model.detector, state)
        else:
            final, detections = trainer.validate()
        return TrainingResult(state.before, state.history, state.best, final, detections, self._seconds())

    @contextlib.contextmanager
    def _closing_listeners(self) -> Iterator[None]:
        try:
            yield
        finally:
            for listener in self.listeners:
                listener.close()

    def _resume(self) -> None:
        """Takes up the newest checkpoint.

        Raises:
          CheckpointError: hosts see different ones.
        """
        restored = self._checkpoints.restore(self._trainer.model, self._tell)
        position = -1.0 if restored is None else float(restored.step) + len(restored.history) / 2**20
        if self._devices.agreed(position) != position:
            raise errors.CheckpointError(
                f"this host sees other checkpoints in {str(self._checkpoints.folder)!r} than the first host: "
                "--checkpoint_dir must be a folder that all hosts share, or that was copied to each."
            )
        if restored is None:
            return
        self.state, self._earlier_seconds, self._first_step = restored, restored.seconds, restored.step
        if self._settings.max_time is None:  # there may have been a budget before
            restored.planned_steps = self._trainer.total_steps
        self._trainer.model.set_total_steps(restored.planned_steps)
        done = f"step {restored.step} of {restored.planned_steps}, {len(restored.history)} epochs validated"
        self._tell(f"resumed:    from {done}; checkpoint in {self._checkpoints.folder}")
        if restored.step and self._devices.agreed(float(self._time_is_up())):
            self._end_here()  # one more step would have to be traced

    def _batches(self) -> Iterator[Batch]:
        return self._trainer.loop.batches(self._trainer.input, self.state.step)

    def _is_over(self) -> bool:
        state, settings = self.state, self._settings
        is_stale = (
            settings.early_stopping
            and state.stale_epochs >= settings.early_stopping_patience
            and len(state.history) >= settings.early_stopping_min_epochs
        )
        return is_stale or (state.step >= state.planned_steps and not state.epoch_steps)

    def _train_epoch(self, batches: Iterator[Batch]) -> None:
        """Runs what is left of an epoch's steps."""
        state, trainer = self.state, self._trainer
        while state.step < min((len(state.history) + 1) * trainer.steps_per_epoch, state.planned_steps):
            with trainer.input.naming_files():
                begun = time.perf_counter()
                batch = next(batches)
                waited = time.perf_counter() - begun
                outcome = trainer.train_step(
                    batch, state.step, stop=self._stop_requests.received is not None, time_is_up=self._time_is_up()
                )
            state.add_step(outcome.losses, time.perf_counter() - begun, waited)
            self._pace.step()
            for listener in self.listeners:
                listener.on_step(state.step - 1, outcome.losses, trainer.learning_rate)
            if outcome.stop or self._may_leave():
                self._stop()
            if outcome.time_is_up:
                self._end_here()
            elif self._settings.max_time and state.step - self._first_step == _PACE_STEPS:
                self._plan()
            if self._settings.checkpoint_every and state.step % self._settings.checkpoint_every == 0:
                self._save()

    def _validate_epoch(self) -> None:
        """Validates; remembers the best epoch; writes a checkpoint; tells the listeners."""
        state, trainer, begun = self.state, self._trainer, time.monotonic()
        with trainer.model.averaged():
            found = self._validated()
            if found is not None:
                result = self._epoch_result(found[0])
                self._compare(result, found[1])
        if found is None:
            self._stop()
        state.close_epoch(result)
        planned = time.monotonic()
        self._last_gap = planned - begun + self._after_plan
        self._plan()
        self._save()
        for listener in self.listeners:
            listener.on_epoch(result, found[1])
        self._pace.validation()
        self._after_plan = time.monotonic() - planned
        if self._may_leave():
            self._stop()

    def _validated(self) -> tuple[Validation, ImageDetections] | None:
        """Validation with the weights as they are; None when a signal ended it before."""
        begun = time.monotonic()
        try:
            found = self._trainer.validate(self._leave_if_asked)
        except _LeaveError:
            return None
        self.state.slowest_validation = max(self.state.slowest_validation, time.monotonic() - begun)
        return found

    def _leave_if_asked(self) -> None:
        if self._may_leave():
            raise _LeaveError

    def _may_leave(self) -> bool:
        """Whether to stop at once; of several hosts, all learn of a signal in the next step, and stop after it."""
        return self._stop_requests.received is not None and self._devices.cluster.num_hosts == 1

    def _epoch_result(self, validation: Validation) -> EpochResult:
        state = self.state
        means = {name: total / state.epoch_steps for name, total in state.epoch_losses.items()}
        return EpochResult(
            epoch=len(state.history),
            loss=means["loss"],
            localization_loss=means["localization"],
            classification_loss=means["classification"],
            learning_rate=self._trainer.learning_rate,
            samples_per_second=state.epoch_steps * self._settings.batch_size / state.epoch_seconds,
            input_bound=state.waiting_seconds / state.epoch_seconds,
            memory_bytes=psutil.Process().memory_info().rss,
            validation=validation,
        )

    def _compare(self, result: EpochResult, detections: ImageDetections) -> None:
        """Counts epochs without improvement; keeps the weights, as they are now, of the best one."""
        state, settings = self.state, self._settings
        best = state.best
        state.stale_epochs = 0 if self._is_improvement(result) else state.stale_epochs + 1
        if best is None or objective.is_better(settings.objective, result.validation, best.validation):
            state.best_epoch, state.best_step = result.epoch, state.step
            if self._devices.cluster.is_chief:
                self._checkpoints.save_best(self._trainer.model.detector, detections, state.step)

    def _is_improvement(self, result: EpochResult) -> bool:
        """Whether an epoch is enough better than the best before it for early stopping to wait on."""
        best, settings = self.state.best, self._settings
        if best is None:
            return True
        gain = objective.gain(settings.objective, result.validation, best.validation)
        relative = settings.early_stopping_tolerance * abs(objective.value(settings.objective, best.validation))
        return gain > max(settings.early_stopping_min_delta, relative)

    def _plan(self) -> None:
        """Fits the number of steps, and with it the schedule of the learning rate, to the time that is left."""
        state, limit = self.state, self._settings.max_time
        if limit is None:
            return
        left = limit - self._seconds() - self._export_seconds()
        fitting = self._pace.steps_that_fit(left, state.epoch_steps, self._trainer.steps_per_epoch, self._gap())
        if fitting is not None:
            self._plan_steps(int(self._devices.agreed(min(state.step + fitting, self._trainer.total_steps))))

    def _end_here(self) -> None:
        """Plans no further step: a validation and the export are all that there is time for."""
        self._plan_steps(self.state.step)

    def _plan_steps(self, planned: int) -> None:
        state, settings = self.state, self._settings
        if planned != state.planned_steps:
            fitting = planned / self._trainer.steps_per_epoch
            self._tell(f"time:       {fitting:.1f} of {settings.epochs} epochs fit into {settings.max_time:g} s")
        state.planned_steps = planned
        self._trainer.model.set_total_steps(planned)

    def _time_is_up(self) -> bool:
        """Whether a validation and the export are all that there is time for."""
        limit = self._settings.max_time
        return limit is not None and self._seconds() + self._gap() + self._export_seconds() >= limit

    def _gap(self) -> float:
        """Seconds from the last step of an epoch to the next epoch, or more as long as there was none."""
        return self._last_gap or self.state.slowest_validation

    def _export_seconds(self) -> float:
        """What to keep for the export, which traces the model once more, runs it, and counts what was found."""
        margin = _MARGIN_SHARE * (self._settings.max_time or 0.0) + _MARGIN_SECONDS
        return _EXPORT_SHARE * self.state.slowest_validation + margin

    def _seconds(self) -> float:
        return self._earlier_seconds + time.monotonic() - self._started

    def _save(self) -> None:
        if self._devices.cluster.is_chief:
            self.state.seconds = self._seconds()
            self._checkpoints.save(self._trainer.model, self.state)

    def _stop(self) -> NoReturn:
        """Writes a checkpoint and ends the run.

        Raises:
          StoppedError: always.
        """
        self._save()
        self._devices.wait_for_all()
        number = self._stop_requests.received or signal.SIGTERM  # another host's
        state = self.state
        raise errors.StoppedError(
            f"stopped by {signal.Signals(number).name} after step {state.step} of {state.planned_steps}; the same "
            f"command goes on from there, with the checkpoint in {str(self._checkpoints.folder)!r}",
            number,
        )


class _LeaveError(Exception):
    """A validation is to be left before its end."""
