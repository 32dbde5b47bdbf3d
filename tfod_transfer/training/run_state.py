"""Where a run is, beside its weights: all that a later process needs to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfod_transfer.evaluation.coco_metrics import CocoMetrics
from tfod_transfer.training.results import EpochResult, Validation


@dataclasses.dataclass
class RunState:
    """Progress of a run.

    Attributes:
      step: steps done, over the whole run.
      epoch_losses: sums over the steps of the epoch that is under way.
      epoch_steps: how many steps these are.
      epoch_seconds: the time that they took.
      waiting_seconds: the part of it in which the next batch was waited for.
      before: validation before the first step; None until it was done.
      history: each epoch that was validated.
      best_epoch: index into `history`; None until there is one.
      best_step: steps that were done when it ended.
      stale_epochs: epochs since the objective last improved enough, for early stopping.
      planned_steps: steps that the run will have; fewer than asked for when its time would run out.
      seconds: time that the run took in all of its starts.
      slowest_validation: seconds of the longest one, which is the first of a process: it has the tracing in it.
    """

    planned_steps: int
    step: int = 0
    epoch_losses: dict[str, float] = dataclasses.field(default_factory=dict)
    epoch_steps: int = 0
    epoch_seconds: float = 0.0
    waiting_seconds: float = 0.0
    before: Validation | None = None
    history: list[EpochResult] = dataclasses.field(default_factory=list)
    best_epoch: int | None = None
    best_step: int | None = None
    stale_epochs: int = 0
    seconds: float = 0.0
    slowest_validation: float = 0.0

    @property
    def best(self) -> EpochResult | None:
        return None if self.best_epoch is None else self.history[self.best_epoch]

    def add_step(self, losses: dict[str, float], seconds: float, waiting: float) -> None:
        """Counts a step."""
        self.step += 1
        self.epoch_steps += 1
        self.epoch_losses = {name: self.epoch_losses.get(name, 0.0) + value for name, value in losses.items()}
        self.epoch_seconds += seconds
        self.waiting_seconds += waiting

    def close_epoch(self, result: EpochResult) -> None:
        """Adds a validated epoch and starts to count the next one."""
        self.history.append(result)
        self.epoch_losses, self.epoch_steps, self.epoch_seconds, self.waiting_seconds = {}, 0, 0.0, 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values; floats keep every bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunState:
        """The inverse of `to_dict`.

        Raises:
          KeyError, TypeError: `values` is not from there.
        """
        before = None if values["before"] is None else _validation(values["before"])
        history = [
            EpochResult(**{**epoch, "validation": _validation(epoch["validation"])}) for epoch in values["history"]
        ]
        return cls(**{**values, "before": before, "history": history})


def _validation(values: dict[str, Any]) -> Validation:
    return Validation(**{**values, "metrics": CocoMetrics(**values["metrics"])})
