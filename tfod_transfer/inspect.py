"""Looks at a data set before training: `python -m tfod_transfer.inspect DATA [--validation DIR] [--output_dir DIR]`.

Prints counts, classes, box sizes against a model's anchors, everything that is wrong, and duplicates. Ends with exit
status 2 when the data cannot be trained on.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfod_transfer import cli
from tfod_transfer.errors import DataError
from tfod_transfer.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from PIL import Image

    from tfod_transfer.data.dataset import DetectionDataset

DEFAULT_MODEL = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
TILE = 480


def main(argv: Sequence[str] | None = None) -> None:
    """Reads, measures, prints, draws; writes mosaic.png and inspect.json when there is an output folder.

    Raises:
      DataError: the data cannot be read, or has no box to learn from.
    """
    options = _parser().parse_args(argv)
    from tfod_transfer import registry

    spec = registry.load_registry().get(options.model_id)
    datasets = _read(options)

    from tfod_transfer.data import inspection, inspection_text

    inspected = {name: inspection.measure(data, _fit_anchors(data, spec)) for name, data in datasets.items()}
    for name, result in inspected.items():
        print("\n".join(inspection_text.lines(name, result, datasets[name].findings)), flush=True)
    record: dict[str, Any] = {name: result.to_dict() for name, result in inspected.items()}
    if "validation" in datasets:
        record["in_both"] = inspection.in_both(*(data.image_paths for data in datasets.values()))
        print("\n".join(inspection_text.in_both(record["in_both"])))
    if options.output_dir:
        _write(pathlib.Path(options.output_dir), datasets, record, options.images)
    if not datasets["training"].num_boxes:
        raise DataError(f"{options.data} has no usable box, so there is nothing to learn from it")


def _read(options: Any) -> dict[str, DetectionDataset]:
    from tfod_transfer.data import formats

    names = ("box_order", "invalid_boxes", "max_pixels", "max_findings", "verify")
    settings = {name: getattr(options, name) for name in names}
    training = formats.read_dataset(options.data, **settings)
    if not options.validation:
        return {"training": training}
    validation = formats.read_dataset(options.validation, **settings)
    aligned = formats.align_classes(validation, training.class_names, training.category_ids)
    return {"training": training, "validation": aligned}


def _fit_anchors(dataset: DetectionDataset, spec: Any) -> Any:
    from tfod_transfer.data import inspection
    from tfod_transfer.modeling import anchors

    if not dataset.num_boxes:
        return None
    padded = spec.resizer == "keep_aspect_ratio"
    return inspection.fit_anchors(dataset, anchors.generate(spec), spec.model_id, spec.input_size, padded)


def _write(folder: pathlib.Path, datasets: dict[str, DetectionDataset], record: dict[str, Any], images: int) -> None:
    from tfod_transfer.data import validation

    folder.mkdir(parents=True, exist_ok=True)
    for name, dataset in datasets.items():
        record[name]["all_findings"] = [validation.as_json(finding) for finding in dataset.findings]
        picture = folder / ("mosaic.png" if name == "training" else f"mosaic_{name}.png")
        _mosaic(dataset, images).save(picture)
        print(f"wrote {picture}")
    (folder / "inspect.json").write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
    print(f"wrote {folder / 'inspect.json'}")


def _mosaic(dataset: DetectionDataset, images: int) -> Image.Image:
    from tfod_transfer import drawing
    from tfod_transfer.data import inspection

    tiles = []
    for image in inspection.choose_images(dataset, images):
        rows = dataset.rows_of(image)
        names = [dataset.class_names[row] for row in dataset.classes[rows]]
        photograph = drawing.fit(drawing.open_upright(dataset.image_paths[image], max_side=TILE), TILE)
        tiles.append(drawing.draw_boxes(photograph, dataset.boxes[rows], names))
    return drawing.mosaic(tiles, tile=TILE)


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.inspect", description=__doc__)
    defaults, add = Hyperparameters(), parser.add_argument
    add("data", metavar="DATA", help="folder with images/ and annotations.json, or an annotation file")
    add("--validation", metavar="DIR", help="validation data, to compare with DATA")
    add("--model_id", default=DEFAULT_MODEL, metavar="ID", help="whose anchors to compare with [default: %(default)s]")
    add("--output_dir", metavar="DIR", help="where to write mosaic.png and inspect.json [default: nothing is written]")
    add("--images", type=int, default=12, metavar="N", help="pictures in the mosaic [default: %(default)s]")
    add("--box_order", choices=("auto", "xyxy", "xywh"), default=defaults.box_order, help="[default: %(default)s]")
    add("--invalid_boxes", choices=("clip", "drop", "error"), default=defaults.invalid_boxes)
    add("--max_pixels", type=int, default=defaults.max_pixels, metavar="N", help="[default: %(default)s]")
    add("--max_findings", type=float, default=defaults.max_findings, metavar="SHARE", help="[default: %(default)s]")
    add("--verify", choices=("full", "header"), default="full", help="decode images, or read their headers only")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
