"""What the figures of a report mean, in sentences: the first thing that its reader sees."""

from __future__ import annotations

from collections.abc import Iterator

from tfod_transfer.evaluation.confusion import Confusion, confusions
from tfod_transfer.evaluation.report_content import ReportContent

NO_FIGURE = "\N{EN DASH}"  # where there is nothing to tell
# Below these a figure depends on chance more than on the model.
FEW_IMAGES, FEW_BOXES = 50, 20
_NOTABLE_FALL = 0.02


def sentences(content: ReportContent) -> list[str]:
    """What it can do, where it is weak, how training went, and how far the figures can be trusted."""
    return [*_overall(content), *_classes(content), *_mistakes(content), *_sizes(content), *_training(content),
            *_trust(content)]  # fmt: skip


def mistake(content: ReportContent, found: Confusion) -> str:
    """One kind of mistake, in words."""
    names = content.assessment.classes
    background = len(names)
    matrix = content.assessment.confusion
    if found.truth == background:
        whole = int(matrix[:, found.found].sum())
        return f"{found.count} of {whole} detections of {names[found.found]} are false alarms"
    whole = int(matrix[found.truth].sum())
    if found.found == background:
        return f"{found.count} of {whole} boxes of {names[found.truth]} are missed"
    return f"{found.count} of {whole} boxes of {names[found.truth]} are taken for {names[found.found]}"


def percent(share: float | None) -> str:
    """A share as whole percent; it is 100 % or 0 % only where it is exactly that."""
    if share is None:
        return NO_FIGURE
    rounded = round(100 * share)
    if rounded == 100 and share < 1:
        return "over 99 %"
    if rounded == 0 and share > 0:
        return "under 1 %"
    return f"{rounded} %"


def _overall(content: ReportContent) -> Iterator[str]:
    best = content.assessment.best
    boxes = content.assessment.sweep.boxes
    if not boxes:
        yield "The images have no boxes, so there was nothing to measure on."
    elif best is None:
        yield f"None of the {boxes} boxes was found, at any score."
    else:
        yield (
            f"With a score of {best.threshold:.3f} or more it finds {percent(best.recall)} of the {boxes} boxes, and "
            f"{percent(best.precision)} of what it reports is right."
        )


def _classes(content: ReportContent) -> Iterator[str]:
    known = [(name, v) for name, v in content.assessment.metrics.per_class.items() if v["AP"] is not None]
    if len(known) < 2:
        return
    (best, high), (worst, low) = (pick(known, key=lambda each: each[1]["AP"]) for pick in (max, min))
    if high["AP"] > low["AP"]:
        noun = "box" if low["boxes"] == 1 else "boxes"
        few = f" with only {low['boxes']} {noun} to measure on" if low["boxes"] < FEW_BOXES else ""
        yield f"The best class is {best} (AP {high['AP']:.3f}), the weakest {worst} (AP {low['AP']:.3f}{few})."


def _mistakes(content: ReportContent) -> Iterator[str]:
    found = confusions(content.assessment.confusion)
    if found and content.assessment.best:
        yield f"The most frequent mistake: {mistake(content, found[0])}."


def _sizes(content: ReportContent) -> Iterator[str]:
    known = [size for size in content.assessment.sizes if size.ap is not None and size.boxes]
    if len(known) < 2 or not content.assessment.best:
        return
    hardest = min(known, key=lambda size: size.ap or 0)
    yield (
        f"{hardest.name.capitalize()} boxes ({hardest.limits}) are the hardest: AP {hardest.ap:.3f}, "
        f"{percent(hardest.found / hardest.boxes)} of {hardest.boxes} found."
    )


def _training(content: ReportContent) -> Iterator[str]:
    ap = content.assessment.metrics.ap
    if content.before is not None and content.history:
        yield f"Training took AP from {content.before.ap:.3f} to {ap:.3f}."
    if content.best_epoch is None or len(content.history) < 2:
        return
    last = content.history[-1]
    if content.best_epoch == last["epoch"]:
        yield "The last epoch was the best: more epochs may still gain something."
    elif last["AP"] < ap - _NOTABLE_FALL:
        yield f"AP was best after epoch {content.best_epoch} and fell by {ap - last['AP']:.3f} until the last one."


def _trust(content: ReportContent) -> Iterator[str]:
    if len(content.dataset) < FEW_IMAGES:
        yield f"Measured on {len(content.dataset)} images only: on others the figures may well be some points off."
