"""Tells of a finished run in report.html and model_card.md."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Sequence

from tfod_transfer import plans
from tfod_transfer.data.training_data import TrainingData
from tfod_transfer.evaluation import environment, model_card, report_page
from tfod_transfer.evaluation.assessment import Assessment, assess
from tfod_transfer.evaluation.report_content import DataPart, ReportContent
from tfod_transfer.execution import ExecutionPolicy
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.training.restoring import Restored
from tfod_transfer.training.results import TrainingResult


def write(
    folder: pathlib.Path,
    restored: Restored,
    data: TrainingData,
    result: TrainingResult,
    settings: Hyperparameters,
    policy: ExecutionPolicy,
    diagnosis: Sequence[str] = (),
) -> Assessment:
    """Writes both into `folder`; returns what was measured on the validation images, for metrics.json."""
    assessment = assess(data.validation, result.detections)
    content = ReportContent(
        title="Training report",
        model_id=restored.spec.model_id,
        image_size=restored.spec.input_size,
        dataset=data.validation,
        detections=result.detections,
        assessment=assessment,
        data=[
            DataPart.of("training", data.train),
            DataPart.of("validation", data.validation, data.split["how"]),
        ],
        environment={**environment.describe(), "execution": str(policy)},
        created=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        license=restored.spec.license,
        seconds=result.seconds,
        findings=data.findings,
        before=result.before.metrics,
        history=[epoch.to_dict() for epoch in result.history],
        best_epoch=result.best.epoch if result.best else None,
        restore={"origin": restored.origin, **restored.report.to_dict()},
        hyperparameters=settings.to_dict(),
        recipe=plans.recipe(restored.spec).to_dict(),
        diagnosis=diagnosis,
    )
    report_page.write_report(folder, content)
    model_card.write_model_card(folder, content)
    return assessment
