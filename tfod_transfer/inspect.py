"""Looks at a data set before training: `python -m tfod_transfer.inspect DATA [--validation DIR] [--output_dir DIR]`.

Prints counts, classes, box sizes against a model's anchors, everything that is wrong, and duplicates. With --augmented
it also draws what a network sees of the images in training. Ends with exit status 2 when the data cannot be trained on.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfod_transfer import cli
from tfod_transfer.errors import DataError, UsageError
from tfod_transfer.hyperparameters import FIELDS, Hyperparameters, resolve

if TYPE_CHECKING:
    from PIL import Image

    from tfod_transfer.data.dataset import DetectionDataset
    from tfod_transfer.registry import ModelSpec

DEFAULT_MODEL = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
TILE = 480
AUGMENTED_BY = ("augmentation", "random_rotation90", "seed")  # hyperparameters that say how
AUGMENTED_EPOCHS, AUGMENTED_TILE = 5, 320


def main(argv: Sequence[str] | None = None) -> None:
    """Reads, measures, prints, draws; writes mosaic.png and inspect.json when there is an output folder.

    Raises:
      UsageError: options that do not go together.
      DataError: the data cannot be read, or has no box to learn from.
    """
    options = _parser().parse_args(argv)
    if options.augmented and not options.output_dir:
        raise UsageError("--augmented draws a picture: name a folder for it with --output_dir.")
    if not options.augmented and any(getattr(options, name) is not None for name in AUGMENTED_BY):
        flags = ", ".join(f"--{name}" for name in AUGMENTED_BY)
        raise UsageError(f"{flags} say how to draw augmented images: add --augmented.")
    from tfod_transfer import registry

    spec = registry.load_registry().get(options.model_id)
    datasets = _read(options)

    from tfod_transfer.data import inspection, inspection_text
    from tfod_transfer.modeling import anchor_fit

    inspected = {name: inspection.measure(data, anchor_fit.measure(data, spec)) for name, data in datasets.items()}
    for name, result in inspected.items():
        print("\n".join(inspection_text.lines(name, result, datasets[name].findings)), flush=True)
    record: dict[str, Any] = {name: result.to_dict() for name, result in inspected.items()}
    if "validation" in datasets:
        record["in_both"] = inspection.in_both(*(data.image_paths for data in datasets.values()))
        print("\n".join(inspection_text.in_both(record["in_both"])))
    if options.output_dir:
        _write(pathlib.Path(options.output_dir), datasets, record, options.images)
    if options.augmented:
        _write_augmented(pathlib.Path(options.output_dir) / "augmented.jpg", datasets["training"], spec, options)
    if not datasets["training"].num_boxes:
        raise DataError(f"{options.data} has no usable box, so there is nothing to learn from it")


def _read(options: Any) -> dict[str, DetectionDataset]:
    from tfod_transfer.data import formats

    names = ("box_order", "invalid_boxes", "max_pixels", "max_findings", "verify")
    settings = {name: getattr(options, name) for name in names}
    training = formats.read_dataset(options.data, options.annotations, **settings)
    if not options.validation:
        return {"training": training}
    validation = formats.read_dataset(options.validation, **settings)
    aligned = formats.align_classes(validation, training.class_names, training.category_ids)
    return {"training": training, "validation": aligned}


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


def _write_augmented(file: pathlib.Path, dataset: DetectionDataset, spec: ModelSpec, options: Any) -> None:
    """Draws images as they are evaluated, and beside each what becomes of it in the first epochs."""
    from PIL import Image

    from tfod_transfer import drawing
    from tfod_transfer.data import inspection
    from tfod_transfer.data.pipeline import InputPipeline

    given = {name: getattr(options, name) for name in AUGMENTED_BY}
    settings = resolve({**given, "cache": "none"}, spec.defaults)
    unchanged = dataclasses.replace(settings, augmentation="none", random_rotation90=False)
    plain = InputPipeline(dataset, spec, unchanged)
    augmented = InputPipeline(dataset, spec, settings)
    tiles = []
    for image in inspection.choose_images(dataset, options.images):
        with plain.naming_files(), augmented.naming_files():
            examples = [plain.training_example(image, 0)]
            examples += [augmented.training_example(image, epoch) for epoch in range(AUGMENTED_EPOCHS)]
        for example in examples:
            classes = example["classes"].numpy()
            boxes = example["boxes"].numpy()[classes >= 0]
            names = [dataset.class_names[row] for row in classes[classes >= 0]]
            picture = drawing.fit(Image.fromarray(example["images"].numpy()), AUGMENTED_TILE)
            tiles.append(drawing.draw_boxes(picture, boxes, names))
    drawing.mosaic(tiles, columns=1 + AUGMENTED_EPOCHS, tile=AUGMENTED_TILE).save(file, quality=90)
    print(
        f"wrote {file}: an image in each row, at the left as in evaluation, then as in epochs 1 to {AUGMENTED_EPOCHS} "
        f"with augmentation {settings.augmentation}{', turned,' if settings.random_rotation90 else ''} "
        f"and seed {settings.seed}"
    )


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.inspect", description=__doc__)
    defaults, add = Hyperparameters(), parser.add_argument
    add("data", metavar="DATA", help="folder or annotation file of a data set; its format is found out")
    add("--annotations", metavar="PATH", help="annotations of the images in DATA, where they lie elsewhere")
    add("--validation", metavar="DIR", help="validation data, to compare with DATA")
    add("--model_id", default=DEFAULT_MODEL, metavar="ID", help="whose anchors to compare with [default: %(default)s]")
    add("--output_dir", metavar="DIR", help="where to write mosaic.png and inspect.json [default: nothing is written]")
    add("--images", type=int, default=12, metavar="N", help="pictures in the mosaic [default: %(default)s]")
    add("--box_order", choices=("auto", "xyxy", "xywh"), default=defaults.box_order, help="[default: %(default)s]")
    add("--invalid_boxes", choices=("clip", "drop", "error"), default=defaults.invalid_boxes)
    add("--max_pixels", type=int, default=defaults.max_pixels, metavar="N", help="[default: %(default)s]")
    add("--max_findings", type=float, default=defaults.max_findings, metavar="SHARE", help="[default: %(default)s]")
    add("--verify", choices=("full", "header"), default="full", help="decode images, or read their headers only")
    add("--augmented", action="store_true", help="draw training images as the model sees them, to augmented.jpg")
    add("--augmentation", choices=FIELDS["augmentation"].metadata["choices"], help="preset [default: the model's own]")
    add("--random_rotation90", nargs="?", const="True", choices=("True", "False"), help="also turned [default: False]")
    add("--seed", type=int, metavar="N", help="seed of the augmentation [default: that of training]")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
