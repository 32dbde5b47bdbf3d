"""The best and the worst images of a report: ground truth beside predictions, small enough to be inside a page."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfod_transfer import drawing
from tfod_transfer.data import addresses
from tfod_transfer.evaluation.report_content import ReportContent

COUNT = 6  # best ones, and as many worst ones
SIDE = 560  # pixels of the longer side
MAX_BYTES = 110_000  # of a picture: 24 of them, in base64, stay under 4 MB
_QUALITIES = (82, 65, 50, 35, 20)
_CROWDED = 10  # with more boxes than that only the mistakes are named
_LONGEST = 24  # characters of a name
# Blue and vermilion: told apart with any kind of colour vision; the style sheet's legend has them too.
_RIGHT, _WRONG, _NOT_COUNTED = (64, 160, 255), (255, 92, 20), (170, 170, 170)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One image, twice.

    Attributes:
      name: of the file.
      outcome: how it went, in words.
      truth: data URI of a JPEG with the ground truth.
      prediction: the same with the predictions.
      truth_text: what is in the one, in words.
      prediction_text: what is in the other.
      width: of each picture in pixels.
      height: of each picture in pixels.
    """

    name: str
    outcome: str
    truth: str
    prediction: str
    truth_text: str
    prediction_text: str
    width: int
    height: int


def best_and_worst(content: ReportContent) -> tuple[list[Pair], list[Pair]]:
    """Draws up to COUNT images with the highest and with the lowest F1 at the best threshold; none is in both."""
    outcomes = content.assessment.images
    worst = outcomes.worst(COUNT)
    best = outcomes.best(COUNT, without=worst)
    return [_pair(content, image) for image in best], [_pair(content, image) for image in worst]


def data_uri(picture: Image.Image) -> str:
    """A JPEG data URI of at most MAX_BYTES before base64, as far as quality can do it."""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _pair(content: ReportContent, image: int) -> Pair:
    dataset, assessment = content.dataset, content.assessment
    matches, outcomes = assessment.matches, assessment.images
    path = dataset.image_paths[image]
    photograph = drawing.fit(drawing.open_upright(path, max_side=SIDE), SIDE)

    drawn = np.flatnonzero(matches.kept(assessment.threshold) & (matches.image == image))
    boxes = dataset.rows_of(image)
    is_found = np.isin(np.arange(boxes.start, boxes.stop), matches.box[drawn])
    crowd = dataset.is_crowd[boxes]
    truth_names = [dataset.class_names[row] for row in dataset.classes[boxes]]
    truth = drawing.draw_boxes(
        photograph,
        dataset.boxes[boxes],
        _named(truth_names, is_found | crowd),
        colors=[_NOT_COUNTED if c else _RIGHT if found else _WRONG for found, c in zip(is_found, crowd, strict=True)],
    )
    found_names = [dataset.class_names[row] for row in matches.classes[drawn]]
    is_right = matches.right[drawn]
    prediction = drawing.draw_boxes(
        photograph,
        content.detections.boxes[image, matches.column[drawn]],
        _named(found_names, is_right),
        matches.scores[drawn].tolist(),
        colors=[_RIGHT if right else _WRONG for right in is_right],
    )
    right, wrong, missed = (int(counts[image]) for counts in (outcomes.right, outcomes.wrong, outcomes.missed))
    name = addresses.name(path)
    return Pair(
        name=name,
        outcome=f"F1 {outcomes.f1[image]:.2f}: {right} right, {wrong} wrong, {missed} missed",
        truth=data_uri(truth),
        prediction=data_uri(prediction),
        truth_text=f"Ground truth of {name}: {_listed(truth_names)}; {missed} of them missed.",
        prediction_text=f"Predictions in {name}: {_listed(found_names)}; {wrong} of them wrong.",
        width=photograph.width,
        height=photograph.height,
    )


def _named(names: Sequence[str], is_right: npt.NDArray[np.bool_]) -> list[str]:
    """In a crowded picture, "" for what is right: names would cover what they name. Long ones are cut."""
    crowded = len(names) > _CROWDED
    shown = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in names]
    return ["" if crowded and right else name for name, right in zip(shown, is_right, strict=True)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common()) or "nothing"
