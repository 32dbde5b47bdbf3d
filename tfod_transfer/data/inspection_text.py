"""Tells an inspection to a person, in lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tfod_transfer.data import inspection, validation
from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.inspection import Inspection
from tfod_transfer.modeling import anchor_fit

BAR = 40
NAMED = 10


def lines(name: str, found: Inspection, findings: Sequence[Finding]) -> list[str]:
    """The inspection of the data set called `name`, with its first findings."""
    sizes = list(found.image_sizes.items())
    shown = ", ".join(f"{size} ({count})" for size, count in sizes[:3]) + (", ..." if len(sizes) > 3 else "")
    text = [
        _line(name, found.description),
        _line("images", f"{found.images}, {found.negatives} of them without a box; sizes {shown}"),
        _line("boxes", f"{found.boxes}, {found.crowds} of them crowds{_sides(found)}"),
    ]
    if found.anchors:
        text.append(_line("anchors", _anchors(found.anchors)))
        if advice := anchor_fit.sentence(found.anchors):
            text.append(_line("", advice))
    text += [_line("classes", str(len(found.classes))), *_histogram(found.classes)]
    counts = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in found.findings.items())
    text.append(_line("findings", counts or "none"))
    text += [f"  {validation.describe(finding)}" for finding in findings[:NAMED]]
    if len(findings) > NAMED:
        text.append(f"  ... and {len(findings) - NAMED} more")
    same = f"{len(found.same_images)} groups of images with the same content, {found.same_boxes} boxes drawn twice"
    text.append(_line("duplicates", same if found.same_images or found.same_boxes else "none"))
    text += [f"  {' = '.join(group)}" for group in found.same_images[:NAMED]]
    return text


def in_both(groups: Sequence[Sequence[str]]) -> list[str]:
    """Images that are in training and in validation."""
    text = [_line("in both", f"{len(groups)} images are in training and in validation" if groups else "none")]
    return text + [f"  {' = '.join(group)}" for group in groups[:NAMED]]


def _line(title: str, text: str) -> str:
    return f"{title:<12}{text}"


def _histogram(classes: Sequence[inspection.ClassCount]) -> list[str]:
    most = max((each.boxes for each in classes), default=0)
    width = max((len(each.name) for each in classes), default=0)
    return [
        f"  {each.name:<{width}} {each.boxes:>8} boxes in {each.images:>6} images  "
        f"{'#' * max(1 if each.boxes else 0, round(BAR * each.boxes / max(1, most)))}".rstrip()
        for each in classes
    ]


def _sides(found: Inspection) -> str:
    if not found.sides_px:
        return ""
    low, middle, high = (f"{side:g}" for side in found.sides_px)
    return f"; sides (root of the area) {low} / {middle} / {high} px (5 %, median, 95 %)"


def _anchors(fit: anchor_fit.AnchorFit) -> str:
    low, middle, high = (f"{side:g}" for side in fit.sides_px)
    return (
        f"at the {fit.input_size} px input of {fit.model_id} the sides are {low} / {middle} / {high} px; best anchor "
        f"IoU {fit.median_iou:.2f} in the median; for {fit.share_unmatched:.1%} of {fit.boxes_compared} boxes it is "
        f"below {anchor_fit.MATCHING_IOU}: each of those is learnt from a single anchor"
    )
