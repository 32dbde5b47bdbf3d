"""A procedural detection data set: drawn shapes over textured backgrounds, for demonstrations and tests.

    python -m tfod_transfer.demo.shapes FOLDER --classes target --num_images 120 --seed 1

Every image is a function of (seed, its number, the classes, the range of sizes) alone: the first 100 images of a set of
500 are a set of 100, and with another seed, or other classes, every picture is another. Shapes vary in size (12 % to
50 % of the image's shorter side), angle, proportion, filling and contrast; strokes and blobs that belong to no class
distract; some images hold no object at all. There are two sets of classes without a shape in common, one to pretrain on
and one to transfer to.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from tfod_transfer import cli, errors

SOURCE_CLASSES = ("circle", "square", "triangle", "star")
TARGET_CLASSES = ("cross", "hexagon", "crescent", "arrow")
IMAGE_SIZE = (160, 320)
MIN_SIDE = 64


def generate(
    folder: str | os.PathLike[str],
    classes: Sequence[str],
    num_images: int,
    seed: int,
    image_size: tuple[int, int] = IMAGE_SIZE,
) -> None:
    """Writes a data set as `images/*.jpg` and `annotations.json` into a folder.

    Boxes are [xmin, ymin, xmax, ymax] in pixels, xmax and ymax exclusive: the smallest box around the drawn shape,
    clipped to the image; a part that another shape covers counts. Category ids are 0..K-1 in the order of `classes`.
    Boxes are the same everywhere; the pixels also depend on the releases of Pillow and NumPy.

    Args:
      folder: where to write; made if it is missing, refused if it holds anything.
      classes: names out of SOURCE_CLASSES and TARGET_CLASSES.
      num_images: how many images to draw.
      seed: at least 0.
      image_size: the shortest and the longest side in pixels that an image may have.

    Raises:
      UsageError: the folder is not empty, or an argument is not as described.
    """
    _check(classes, num_images, seed, image_size)
    target = pathlib.Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise errors.UsageError(f"{target}: expected a new or an empty folder for the data set; name another one")
    (target / "images").mkdir(parents=True)

    from tfod_transfer.demo import scene  # NumPy and Pillow, which --help does not need

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(num_images):
        drawn = scene.draw(classes, seed, index, image_size)
        file_name = f"{index:06d}.jpg"
        drawn.image.save(target / "images" / file_name, quality=drawn.jpeg_quality)
        images.append({"id": index, "file_name": file_name, "height": drawn.image.height, "width": drawn.image.width})
        annotations.extend(
            {"image_id": index, "bbox": list(box), "category_id": label}
            for box, label in zip(drawn.boxes_xyxy_px, drawn.labels, strict=True)
        )
    categories = [{"id": label, "name": name} for label, name in enumerate(classes)]
    # Written last, and renamed into place: a folder with annotations is a whole data set.
    partial = target / "annotations.json.partial"
    partial.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    partial.rename(target / "annotations.json")


def _check(classes: Sequence[str], num_images: int, seed: int, image_size: tuple[int, int]) -> None:
    known = SOURCE_CLASSES + TARGET_CLASSES
    if not classes or len(set(classes)) != len(classes):
        raise errors.UsageError(f"classes: expected one or more different names, found {list(classes)}")
    for name in classes:
        if name not in known:
            raise errors.UsageError(
                f"classes: expected names out of {', '.join(known)}, found {name!r}.{errors.did_you_mean(name, known)}"
            )
    if num_images < 1 or seed < 0:
        raise errors.UsageError(f"expected num_images >= 1 and seed >= 0, found num_images {num_images}, seed {seed}")
    if not MIN_SIDE <= image_size[0] <= image_size[1]:
        raise errors.UsageError(f"image_size: expected {MIN_SIDE} <= MIN <= MAX pixels, found {tuple(image_size)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Writes a data set as the command line says."""
    sets = {"source": SOURCE_CLASSES, "target": TARGET_CLASSES}
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.demo.shapes", description=__doc__)
    parser.add_argument("folder", help="a new or an empty folder")
    parser.add_argument(
        "--classes",
        default="target",
        help=f"source ({', '.join(SOURCE_CLASSES)}), target ({', '.join(TARGET_CLASSES)}) or names with commas between",
    )
    parser.add_argument("--num_images", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--image_size", type=int, nargs=2, default=IMAGE_SIZE, metavar=("MIN", "MAX"), help="sides in pixels"
    )
    args = parser.parse_args(argv)
    classes = sets.get(args.classes) or tuple(args.classes.split(","))
    generate(args.folder, classes, args.num_images, args.seed, tuple(args.image_size))
    print(f"{args.folder}: {args.num_images} images of {', '.join(classes)}; boxes [xmin, ymin, xmax, ymax] in pixels")


if __name__ == "__main__":
    sys.exit(cli.run(main))
