"""Runs a model on images: `python -m tfod_transfer.predict MODEL IMAGES… --output_dir DIR`.

MODEL is an artifact (the --model_dir of a finished fit), or the model_id of a model that can only be run.
Writes predictions.jsonl, one line an image, and one drawn picture an image.
"""

from __future__ import annotations

import collections
import itertools
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tfod_transfer import cli, errors
from tfod_transfer.serving import runnable


def main(argv: Sequence[str] | None = None) -> int:
    """Predicts, draws, writes; an unreadable image is named and makes the exit status 2 after the others are done."""
    options = _parser().parse_args(argv)
    model = runnable.find(options.model, options.pretrained)
    readable, problems = _check(_image_files(options.images))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not readable:
        return cli.EXIT_ERROR

    from tfod_transfer import drawing
    from tfod_transfer.data import image_files

    output = pathlib.Path(options.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    detector = model.load()
    with (output / "predictions.jsonl").open("w", encoding="utf-8") as lines:
        pictures = _picture_names(readable)
        for path, picture_name, found in zip(readable, pictures, detector.detect_files(readable), strict=True):
            kept = (found.scores[0] > 0) & (found.scores[0] >= options.score_threshold)
            record = _record(path, found.boxes[0][kept], found.classes[0][kept], found.scores[0][kept], model.labels)
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            drawn = [i for i, score in enumerate(record["scores"]) if score >= options.draw_threshold]
            names = [record["class_names"][i] for i in drawn]
            scores = [record["scores"][i] for i in drawn]
            picture = drawing.draw_boxes(image_files.open_upright(path), found.boxes[0][kept][drawn], names, scores)
            picture.save(output / f"{picture_name}.jpg", quality=90)
            listed = ", ".join(f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True)) or "nothing"
            print(f"{path}: {listed}", flush=True)
    print(f"wrote {output / 'predictions.jsonl'} and {len(readable)} pictures")
    return cli.EXIT_ERROR if problems else 0


def _record(path: str, boxes: Any, classes: Any, scores: Any, labels: list[str]) -> dict[str, Any]:
    """One line of predictions.jsonl, in SageMaker's form: boxes (xmin, ymin, xmax, ymax), 1-based classes."""
    return {
        "image": path,
        "normalized_boxes": [[round(float(box[i]), 6) for i in (1, 0, 3, 2)] for box in boxes],
        "classes": [float(index + 1) for index in classes],
        "scores": [round(float(score), 6) for score in scores],
        "labels": labels,
        "class_names": [labels[index + 1] for index in classes],
    }


def _image_files(arguments: Iterable[str]) -> list[str]:
    """The files that are named, and those of the folders that are named, sorted."""
    files: list[str] = []
    for argument in arguments:
        path = pathlib.Path(argument)
        if path.is_dir():
            inside = sorted(str(each) for each in path.iterdir() if each.is_file())
            if not inside:
                raise errors.DataError(f"the folder {argument!r} holds no images.")
            files += inside
        else:
            files.append(argument)
    return files


def _check(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits paths into readable images and sentences about the others."""
    from tfod_transfer.data import image_files

    readable, problems = [], []
    for path in paths:
        problem = image_files.problem_with(path)
        if problem is None:
            readable.append(path)
        else:
            problems.append(problem)
    return readable, problems


def _picture_names(paths: Sequence[str]) -> list[str]:
    """A name without suffix for the picture of each file: its own stem, numbered where several have the same."""
    stems = [pathlib.Path(path).stem for path in paths]
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


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.predict", description=__doc__)
    parser.add_argument(
        "model", metavar="MODEL", help="the --model_dir of a finished fit, or the model_id of an inference-only model"
    )
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="image files, or folders of them")
    parser.add_argument("--output_dir", required=True, metavar="DIR", help="where predictions.jsonl and pictures go")
    parser.add_argument(
        "--pretrained", metavar="PATH", help="SavedModel folder or .tar.gz of MODEL, in place of a download"
    )
    parser.add_argument(
        "--score_threshold", type=float, default=0.0, metavar="S", help="leave out detections below [default: 0]"
    )
    parser.add_argument("--draw_threshold", type=float, default=0.4, metavar="S", help="draw from here [default: 0.4]")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
