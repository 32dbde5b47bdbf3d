"""Measures an artifact on a data set: `python -m tfod_transfer.evaluate ARTIFACT DATA --output_dir DIR`."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from tfod_transfer import artifact, cli, execution
from tfod_transfer.hyperparameters import Hyperparameters


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the data, runs the SavedModel on every image, prints and writes COCO metrics."""
    options = _parser().parse_args(argv)
    model = artifact.load(options.artifact)
    for line in execution.cautions(model.info.precision, execution.processor_of_this_machine()):
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

    from tfod_transfer.evaluation import report
    from tfod_transfer.evaluation.coco_metrics import coco_metrics, concatenate
    from tfod_transfer.serving.loaded import LoadedDetector

    detector = LoadedDetector(model.saved_model)
    detections = concatenate(list(detector.detect_files(dataset.image_paths)))
    metrics = coco_metrics(dataset, detections)
    print(report.metrics_table(metrics))
    output = pathlib.Path(options.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    artifact.write_json(output / "metrics.json", metrics.to_dict())
    print(f"wrote {output / 'metrics.json'}")


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.evaluate", description=__doc__)
    parser.add_argument("artifact", metavar="ARTIFACT", help="the --model_dir of a finished fit")
    parser.add_argument("data", metavar="DATA", help="folder with images/ and annotations.json")
    parser.add_argument("--output_dir", required=True, metavar="DIR", help="where metrics.json is written")
    defaults = Hyperparameters()
    parser.add_argument("--box_order", choices=("auto", "xyxy", "xywh"), default=defaults.box_order)
    parser.add_argument("--invalid_boxes", choices=("clip", "drop", "error"), default=defaults.invalid_boxes)
    parser.add_argument("--max_findings", type=float, default=defaults.max_findings, metavar="SHARE")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
