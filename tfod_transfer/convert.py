"""Writes a data set in another format: `python -m tfod_transfer.convert SOURCE TARGET --to FORMAT`.

SOURCE is any data set that `fit` takes; its format is found out. It is read and checked as for training, so that what
is written is what would be trained on. TARGET is a new folder; of channels (image_json) it is that of the images, and
TARGET_annotation that of the annotations.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from tfod_transfer import cli
from tfod_transfer.errors import DataError
from tfod_transfer.hyperparameters import Hyperparameters

FORMATS = ("tf_json", "coco", "image_json", "augmented_manifest", "recordio", "voc", "tfrecord")


def main(argv: Sequence[str] | None = None) -> None:
    """Reads, writes, and says what was read, what was wrong with it, and what the new format cannot hold.

    Raises:
      DataError: the data cannot be read, or the target is not new.
    """
    options = _parser().parse_args(argv)
    from tfod_transfer.data import formats, validation, writers
    from tfod_transfer.data.writers import target

    names = ("box_order", "invalid_boxes", "max_pixels", "max_findings", "verify")
    dataset = formats.read_dataset(
        options.source, options.annotations, **{name: getattr(options, name) for name in names}
    )
    print(f"read:     {dataset.description}")
    if dataset.findings:
        print(f"findings: {len(dataset.findings)}, as follows{validation.name_first(dataset.findings)}")
    if options.skip_images_without_boxes:
        shown = np.flatnonzero(dataset.boxes_per_image)
        print(f"skipped:  {len(dataset) - len(shown)} images without a box")
        if not len(shown):
            raise DataError(f"{options.source} has no image with a box, so that nothing would be written")
        dataset = dataset.select(shown)
    if options.whole_pixels:
        dataset = target.in_whole_pixels(dataset)
    settings = writers.Settings(image_prefix=options.image_prefix)
    lost = writers.write(dataset, pathlib.Path(options.target), options.to, settings)
    print(f"wrote:    {options.target}: {len(dataset)} images, {dataset.num_boxes} boxes as {options.to}")
    for sentence in lost:
        print(f"not held: {sentence}")


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.convert", description=__doc__)
    defaults, add = Hyperparameters(), parser.add_argument
    add("source", metavar="SOURCE", help="folder or annotation file of a data set")
    add("target", metavar="TARGET", help="new folder")
    add("--to", required=True, choices=FORMATS, help="what to write")
    add("--annotations", metavar="PATH", help="annotations of the images in SOURCE, where they lie elsewhere")
    add("--skip_images_without_boxes", action="store_true", help="leave out images that show nothing")
    add("--whole_pixels", action="store_true", help="cut off fractions of pixels, for readers that take none")
    add("--image_prefix", metavar="TEXT", help="before names in an augmented manifest, such as s3://bucket/images/")
    add("--box_order", choices=("auto", "xyxy", "xywh"), default=defaults.box_order, help="[default: %(default)s]")
    add("--invalid_boxes", choices=("clip", "drop", "error"), default=defaults.invalid_boxes)
    add("--max_pixels", type=int, default=defaults.max_pixels, metavar="N", help="[default: %(default)s]")
    add("--max_findings", type=float, default=defaults.max_findings, metavar="SHARE", help="[default: %(default)s]")
    add("--verify", choices=("full", "header"), default="header", help="decode images, or read their headers only")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
