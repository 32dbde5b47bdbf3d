"""Runs a model on images: `python -m tfod_transfer.predict MODEL IMAGES… --output_dir DIR`.

MODEL is an artifact (the --model_dir of a finished fit), a TensorFlow Lite or ONNX model that `export` made of
one (its folder), or the model_id of a model that can only be run.
IMAGES are files, folders, patterns ('photographs/**/*.jpg', quoted), videos and addresses (s3://bucket/prefix).
Writes predictions.jsonl, one line an image (or predictions.json, COCO's results), and one drawn picture an image.
"""

from __future__ import annotations

import collections
import itertools
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfod_transfer import cli, coco_results, errors, image_arguments
from tfod_transfer.image_arguments import GivenImage
from tfod_transfer.serving import inference, runnable

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {"jsonl": "predictions.jsonl", "coco": "predictions.json"}


def main(argv: Sequence[str] | None = None) -> int:
    """Predicts, draws, writes; an unreadable image is named and makes the exit status 2 after the others are done."""
    options = _parser().parse_args(argv)
    if options.annotations is not None and options.format != "coco":
        raise errors.UsageError("--annotations says which image_id an image has, for --format coco; leave it out.")
    model = runnable.find(options.model, options.pretrained)
    with tempfile.TemporaryDirectory(prefix="tfod_transfer-") as scratch:
        readable, problems = _check(
            image_arguments.find(options.images, pathlib.Path(scratch), options.frames_per_second)
        )
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        if readable:
            _predict(model, readable, options)
    return cli.EXIT_ERROR if problems else 0


def _predict(model: runnable.Runnable, images: Sequence[GivenImage], options: Any) -> None:
    names = [image.name for image in images]
    ids = coco_results.image_ids(names, options.annotations) if options.format == "coco" else names
    output = pathlib.Path(options.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    file = output / FORMATS[options.format]
    results: list[dict[str, Any]] = []
    from tfod_transfer.data import image_files

    detections = model.load().detect_files([image.path for image in images])
    with file.open("w", encoding="utf-8") as lines:
        for image, key, picture_name, found in zip(images, ids, _picture_names(names), detections, strict=True):
            kept = (found.scores[0] > 0) & (found.scores[0] >= options.score_threshold)
            boxes, classes, scores = found.boxes[0][kept], found.classes[0][kept], found.scores[0][kept]
            picture = image_files.open_upright(image.path)
            if options.format == "coco":
                categories = [model.category_ids[index] for index in classes]
                results += coco_results.rows(key, picture.size, boxes, categories, scores)
            else:
                record = _record(model, image.name, boxes, classes, scores)
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            clear = scores >= options.draw_threshold
            called = [model.labels[index + 1] for index in classes[clear]]
            _draw(picture, boxes[clear], called, scores[clear]).save(output / f"{picture_name}.jpg", quality=90)
            listed = ", ".join(f"{name} {score:.2f}" for name, score in zip(called, scores[clear], strict=True))
            print(f"{image.name}: {listed or 'nothing'}", flush=True)
        if options.format == "coco":
            json.dump(results, lines)
    print(f"wrote {file} and {len(images)} pictures")


def _draw(picture: Image.Image, boxes: Any, names: list[str], scores: Any) -> Image.Image:
    from tfod_transfer import drawing

    return drawing.draw_boxes(picture, boxes, names, [float(score) for score in scores])


def _record(model: runnable.Runnable, name: str, boxes: Any, classes: Any, scores: Any) -> dict[str, Any]:
    """One line of predictions.jsonl, in the form of the model's algorithm: boxes are (xmin, ymin, xmax, ymax)."""
    labels = model.labels
    row = {
        "normalized_boxes": [[round(float(box[i]), 6) for i in (1, 0, 3, 2)] for box in boxes],
        "classes": [float(index + 1) for index in classes],
        "scores": [round(float(score), 6) for score in scores],
    }
    if model.algorithm == inference.SSD:
        told = inference.prediction(row, inference.AnswerOptions())
        return {"image": name, **told, "class_names": [labels[int(each[0]) + 1] for each in told["prediction"]]}
    return {"image": name, **row, "labels": labels, "class_names": [labels[index + 1] for index in classes]}


def _check(images: Sequence[GivenImage]) -> tuple[list[GivenImage], list[str]]:
    """Splits images into readable ones and sentences about the others."""
    from tfod_transfer.data import image_files

    readable, problems = [], []
    found = image_files.check_images([image.path for image in images])
    for image, header in zip(images, found, strict=True):
        if isinstance(header, image_files.ImageProblem):
            problems.append(f"{image.name}: {header.message}")
        else:
            readable.append(image)
    return readable, problems


def _picture_names(paths: Sequence[str]) -> list[str]:
    """A name without suffix for the picture of each file: its own stem, numbered where several have the same."""
    stems = [_stem(path) for path in paths]
    counts = collections.Counter(stems)
    taken = {stem for stem, count in counts.items() if count == 1}
    numbers = {stem: itertools.count(1) for stem in counts}
    names = []
    for stem in stems:
        if counts[stem] > 1:
            stem = next(name for number in numbers[stem] if (name := f"{stem}_{number}") not in taken)
            taken.add(stem)
        names.append(stem)
    return names


def _stem(name: str) -> str:
    """`clip_2.500` for the frame `folder/clip.mp4#t=2.500`."""
    file, frame, seconds = name.rpartition("#t=")
    return f"{pathlib.Path(file).stem}_{seconds}" if frame else pathlib.Path(name).stem


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.predict", description=__doc__)
    parser.add_argument(
        "model", metavar="MODEL", help="the --model_dir of a finished fit, or the model_id of an inference-only model"
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGES", help="files, folders, quoted patterns, videos, addresses"
    )
    parser.add_argument("--output_dir", required=True, metavar="DIR", help="where predictions and pictures go")
    parser.add_argument("--format", choices=tuple(FORMATS), default="jsonl", help="of the predictions [default: jsonl]")
    parser.add_argument(
        "--annotations",
        metavar="FILE",
        help="for --format coco: has the image_id of each file_name [default: the number that a file's name ends with]",
    )
    parser.add_argument(
        "--pretrained", metavar="PATH", help="SavedModel folder or .tar.gz of MODEL, in place of a download"
    )
    parser.add_argument(
        "--score_threshold", type=float, default=0.0, metavar="S", help="leave out detections below [default: 0]"
    )
    parser.add_argument(
        "--frames_per_second", type=cli.positive_number, default=1, metavar="N", help="frames of videos [default: 1]"
    )
    parser.add_argument("--draw_threshold", type=float, default=0.4, metavar="S", help="draw from here [default: 0.4]")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
