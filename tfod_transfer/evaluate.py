"""Measures an exported model on a data set: `python -m tfod_transfer.evaluate MODEL DATA --output_dir DIR`.

MODEL is an artifact (the --model_dir of a finished fit), or the folder of a TensorFlow Lite or ONNX model.
Writes metrics.json, report.html and model_card.md.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfod_transfer import artifact, cli, errors, plans, registry
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.serving import runnable
from tfod_transfer.serving.runnable import Exported

if TYPE_CHECKING:
    from tfod_transfer.data.dataset import DetectionDataset
    from tfod_transfer.evaluation.coco_metrics import ImageDetections
    from tfod_transfer.evaluation.report_content import ReportContent


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the data, runs the model on every image, prints and writes COCO metrics."""
    options = _parser().parse_args(argv)
    model = runnable.exported(options.model)
    for line in model.info.detection.cautions():
        print(line, file=sys.stderr)

    from tfod_transfer.data import formats

    dataset = formats.read_dataset(
        options.data,
        box_order=options.box_order,
        invalid_boxes=options.invalid_boxes,
        max_findings=options.max_findings,
    )
    dataset = formats.align_classes(dataset, model.info.class_names, model.info.category_ids)
    print(f"{len(dataset)} images, {dataset.num_boxes} boxes: {dataset.description}", flush=True)

    from tfod_transfer.evaluation import model_card, report, report_page
    from tfod_transfer.evaluation.coco_metrics import concatenate

    started = time.monotonic()
    detections = concatenate(list(model.load().detect_files(dataset.image_paths)))
    content = _content(model, dataset, detections, started)
    print(report.metrics_table(content.assessment.metrics))
    output = pathlib.Path(options.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    artifact.write_json(output / "metrics.json", content.assessment.to_dict())
    page = report_page.write_report(output, content)
    card = model_card.write_model_card(output, content)
    print(f"wrote {output / 'metrics.json'}, {page} and {card}")


def _content(model: Exported, dataset: DetectionDataset, detections: ImageDetections, started: float) -> ReportContent:
    """What the report tells: what was measured here, and what the artifact says of how it was made."""
    from tfod_transfer.data import validation
    from tfod_transfer.evaluation import environment
    from tfod_transfer.evaluation.assessment import assess
    from tfod_transfer.evaluation.report_content import DataPart, ReportContent

    assessment = assess(dataset, detections)
    settings = _record(model, "hyperparameters.json")
    spec = _spec(model.info.model_id)
    return ReportContent(
        title="Evaluation report",
        model_id=model.info.model_id,
        image_size=model.info.image_size,
        dataset=dataset,
        detections=detections,
        assessment=assessment,
        data=[DataPart.of("evaluation", dataset)],
        environment={
            **environment.describe(),
            "precision": model.info.precision,
            "detections": str(model.info.detection),
            **({"target": model.target} if model.target else {}),
        },
        created=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        license=spec.license if spec else None,
        seconds=time.monotonic() - started,
        findings=[validation.as_json(finding) for finding in dataset.findings],
        restore=_record(model, "restore.json"),
        hyperparameters=settings,
        recipe=plans.recipe(spec).to_dict() if spec and settings else None,
    )


def _record(model: Exported, name: str) -> dict[str, Any] | None:
    """A JSON file of the artifact; None for one that it does not have.

    Raises:
      ArtifactError: it is damaged.
    """
    path = model.folder / name
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.ArtifactError(f"{str(path)!r} is damaged ({error}); fit the model again.") from None
    return content


def _spec(model_id: str) -> registry.ModelSpec | None:
    """The model's registry entry; None for a model of another version's registry."""
    try:
        return registry.load_registry().get(model_id)
    except errors.TransferError:
        return None


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.evaluate", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help="the --model_dir of a finished fit, or what export made of it")
    parser.add_argument("data", metavar="DATA", help="folder or annotation file of a data set, in any format")
    parser.add_argument(
        "--output_dir", required=True, metavar="DIR", help="where metrics.json, report.html and model_card.md go"
    )
    defaults = Hyperparameters()
    parser.add_argument("--box_order", choices=("auto", "xyxy", "xywh"), default=defaults.box_order)
    parser.add_argument("--invalid_boxes", choices=("clip", "drop", "error"), default=defaults.invalid_boxes)
    parser.add_argument("--max_findings", type=float, default=defaults.max_findings, metavar="SHARE")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
