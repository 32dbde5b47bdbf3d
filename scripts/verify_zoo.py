"""Verifies a pretrained model against what was published of it: `scripts/verify_zoo.py MODEL_ID --coco DIR`.

Downloads and authenticates the archive, exports the model as it is, measures COCO AP on val2017 with this package's own
pipeline and prints it beside the published figure. Exit status 1 when they differ by more than 0.5 points, or when a
tensor is not the genuine one. Needs a network (or --pretrained), and COCO's val2017 images and annotations.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from tfod_transfer import artifact, cli, errors, fit, registry, weights

if TYPE_CHECKING:
    from tfod_transfer.data.dataset import DetectionDataset


def main(argv: Sequence[str] | None = None) -> int:
    """Authenticates, restores, exports, measures, compares."""
    options = _parser().parse_args(argv)
    spec = registry.load_registry().get(options.model_id)
    if spec.coco_map is None:
        raise errors.UsageError(f"nothing is published of {spec.model_id} that it could be compared with.")

    from tfod_transfer.evaluation import verification

    table = verification.read_table(options.crc_table) if options.crc_table else None
    with verification.coco_dataset(options.coco, options.images) as dataset:
        print(f"data:       {len(dataset)} images, {dataset.num_boxes} boxes", flush=True)
        source = weights.resolve_pretrained(spec, options.pretrained)
        authentication = verification.authenticate(source.prefix, spec, table)
        print("\n".join(authentication.lines()), flush=True)
        measured = _measure(options, dataset)
    comparison = verification.Comparison(spec.model_id, len(dataset), 100 * measured, spec.coco_map)
    print(comparison.table())
    return 0 if comparison.agrees and authentication.genuine else 1


def _measure(options: argparse.Namespace, dataset: DetectionDataset) -> float:
    """AP of the exported model, 0..1."""
    from tfod_transfer.data import formats
    from tfod_transfer.evaluation.coco_metrics import coco_metrics, concatenate
    from tfod_transfer.serving.loaded import LoadedDetector

    with tempfile.TemporaryDirectory(prefix="tfod_transfer-verify-") as scratch:
        model_dir = str(pathlib.Path(scratch, "model"))
        epochs = {"epochs": 0}
        fit.fit(fit.FitOptions(options.model_id, model_dir, pretrained=options.pretrained, hyperparameters=epochs))
        model = artifact.load(model_dir)
        dataset = formats.align_classes(dataset, model.info.class_names, model.info.category_ids)
        found = []
        for number, detections in enumerate(LoadedDetector(model.saved_model).detect_files(dataset.image_paths), 1):
            found.append(detections)
            if number % 100 == 0:
                print(f"measured {number} of {len(dataset)} images", flush=True)
    return coco_metrics(dataset, concatenate(found)).ap


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="scripts/verify_zoo.py", description=__doc__)
    add = parser.add_argument
    add("model_id", metavar="MODEL_ID", help="a model that has a published COCO AP")
    add("--coco", required=True, metavar="DIR", help="folder with val2017/ and annotations/instances_val2017.json")
    add("--images", type=_positive, metavar="N", help="only the first N images; then the figures can hardly agree")
    add("--pretrained", metavar="PATH", help="the archive or its folder, in place of the cache or a download")
    add("--crc_table", metavar="FILE", help="JSON of masked CRC32C by tensor key: names each tensor that differs")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(cli.run(main))
