"""Metrics as text for a terminal of eighty columns."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import Any

from tfod_transfer.evaluation.coco_metrics import CocoMetrics

_COLUMNS = 80
_ALL = "all classes"


def metrics_table(metrics: CocoMetrics) -> str:
    """AP, AP50 and the number of boxes for each class, then over all."""
    rows = [
        (name, f"{values['boxes']:>7}  {_number(values['AP'])}  {_number(values['AP50'])}")
        for name, values in metrics.per_class.items()
    ]
    summary = metrics.summary
    total = (_ALL, f"{_boxes(metrics.per_class.values()):>7}  {_number(summary['AP'])}  {_number(summary['AP50'])}")
    return "\n".join(_aligned("class", f"{'boxes':>7}  {'AP':>6}  {'AP50':>6}", [*rows, total]))


def comparison_table(
    before: CocoMetrics,
    after: CocoMetrics,
    class_names: Sequence[str | None],
    known: Collection[str],
    dropped: Sequence[str] = (),
) -> str:
    """AP of each class before and after training, the classes that were known apart from the new ones.

    Args:
      before: of the weights that training started from.
      after: of the same classes on the same images, after training.
      class_names: of the K classes, in the order of `per_class`.
      known: names whose rows of the class head were there before.
      dropped: classes that only the earlier weights know.
    """
    groups: dict[str, list[tuple[str, dict[str, Any], dict[str, Any]]]] = {"known": [], "new": []}
    pairs = zip(class_names, before.per_class.values(), after.per_class.items(), strict=True)
    for name, earlier, (label, later) in pairs:
        groups["known" if name in known else "new"].append((label, earlier, later))
    rows = [
        (label, _change(kind, later["boxes"], earlier["AP"], later["AP"]))
        for kind, group in groups.items()
        for label, earlier, later in group
    ]
    rows += [
        (
            f"all {len(group)} {kind} classes",
            _change(
                kind,
                _boxes(later for _, _, later in group),
                _mean(earlier["AP"] for _, earlier, _ in group),
                _mean(later["AP"] for _, _, later in group),
            ),
        )
        for kind, group in groups.items()
        if len(group) > 1
    ]
    header = f"{'':5}  {'boxes':>7}  AP before -> after  {'change':>6}"
    lines = _aligned("class", header, rows)
    if dropped:
        text = f"no longer known, since the new data does not have them: {', '.join(dropped)}"
        lines += textwrap.wrap(text, _COLUMNS, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _change(kind: str, boxes: int, before: float | None, after: float | None) -> str:
    change = "-" if before is None or after is None else f"{after - before:+.3f}"
    return f"{kind:<5}  {boxes:>7}     {_number(before)} -> {_number(after).strip():<5}  {change:>6}"


def _aligned(title: str, header: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names at the left, cut where they are too long for the line; figures at the right."""
    names = [" ".join(name.split()) for name, _ in rows]
    width = min(max(len(title), *map(len, names)), _COLUMNS - 2 - max(len(figures) for _, figures in rows))
    lines = [f"{title:<{width}}  {header}"]
    for name, (_, figures) in zip(names, rows, strict=True):
        shown = name if len(name) <= width else name[: width - 1] + "…"
        lines.append(f"{shown:<{width}}  {figures}")
    return lines


def _boxes(classes: Any) -> int:
    return sum(values["boxes"] for values in classes)


def _mean(values: Any) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _number(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.3f}"
