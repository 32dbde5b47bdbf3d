"""What a run prints: its settings, each epoch in the form that SageMaker's metric definitions read, and the outcome."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tfod_transfer.evaluation import report
from tfod_transfer.execution import ExecutionPolicy
from tfod_transfer.hyperparameters import KNOWN_NAMES, Hyperparameters, origins
from tfod_transfer.registry import ModelSpec
from tfod_transfer.training.pace import duration
from tfod_transfer.training.restoring import Restored
from tfod_transfer.training.results import EpochResult, TrainingResult


def settings_lines(
    settings: Hyperparameters, given: Mapping[str, Any], spec: ModelSpec, policy: ExecutionPolicy, devices: str
) -> list[str]:
    """The hyperparameters that matter first, with where each came from."""
    source = origins(given, spec.defaults)
    rate = f"learning rate {settings.learning_rate:g}"
    if source["learning_rate"] == "recipe":
        rate += (
            f" (recipe: {spec.defaults['learning_rate']:g} for a batch of {settings.reference_batch_size}, "
            f"here {settings.batch_size})"
        )
    chosen = [f"{name} {getattr(settings, name)}" for name, origin in source.items() if origin == "given"]
    chosen += [f"{name} {value}" for name, value in given.items() if name not in KNOWN_NAMES and value is not None]
    return [
        f"training:   {settings.epochs} epochs, batch {settings.batch_size}, {settings.optimizer}, {rate}, "
        f"{settings.learning_rate_schedule} schedule, augmentation {settings.augmentation}",
        f"execution:  {policy}; {devices}",
        f"given:      {', '.join(chosen) or 'nothing: all as in the recipe'}",
    ]


def epoch_lines(result: EpochResult) -> list[str]:
    """One epoch as log lines.

    The first two are those of SageMaker's algorithm: fixed-point, since its published regexes take only digits and
    dots, and `loss=<number>` on the first alone, since they are not anchored.
    """
    head = f"[Epoch {result.epoch}], "
    validation = result.validation
    return [
        f"{head}Speed: {result.samples_per_second:.3f} samples/sec, loss={result.loss:.8f}.",
        f"{head}Val_localization={validation.localization_loss:.3f}, "
        f"Val_classification={validation.classification_loss:.3f}",
        f"{head}Val_mAP={validation.metrics.ap:.4f}",
        f"{head}Val_mAP50={validation.metrics.ap50:.4f}",
    ]


def outlook_line(result: EpochResult, best: EpochResult, seconds_left: float | None) -> str:
    """What people want to know after an epoch; no published regex matches it, since it has no `=`.

    Args:
      result: the epoch.
      best: the best one so far.
      seconds_left: the time that the run still takes; None where that is not known yet, 0 after the last epoch.
    """
    parts = [f"best epoch {best.epoch} (mAP {best.validation.metrics.ap:.3f})"]
    if seconds_left:
        parts.append(f"{duration(seconds_left)} left")
    parts += [f"input-bound {result.input_bound:.0%}", f"{result.memory_bytes / 2**30:.1f} GB"]
    return "so far:     " + ", ".join(parts)


def summary_lines(
    model_dir: str, result: TrainingResult | None, diagnosis: list[str] | None, restored: Restored
) -> list[str]:
    """How it went, what to look at when it went wrong, and where everything is.

    Weights that knew some of the classes get a table of what became of those and of the new ones.
    """
    lines: list[str] = []
    if result is not None:
        lines.append(_class_table(result, restored))
        if result.best is not None:
            lines.append(
                f"mAP before {result.before.metrics.ap:.3f}, after {result.final.metrics.ap:.3f} "
                f"(mAP50 {result.before.metrics.ap50:.3f}, after {result.final.metrics.ap50:.3f}), "
                f"weights of epoch {result.best.epoch}"
            )
    if diagnosis:
        lines += ["nothing was found right; what to look at:", *(f"  {line}" for line in diagnosis)]
    return [*lines, f"artifact:   {model_dir}", f"SavedModel: {os.path.join(model_dir, '1')}"]


def _class_table(result: TrainingResult, restored: Restored) -> str:
    if not restored.report.kept_classes:
        return report.metrics_table(result.final.metrics)
    rows = restored.report
    return report.comparison_table(
        result.before.metrics, result.final.metrics, restored.class_names, rows.kept_classes, rows.dropped_classes
    )
