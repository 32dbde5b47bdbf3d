"""Metrics as text for a terminal."""

from __future__ import annotations

from tfod_transfer.evaluation.coco_metrics import CocoMetrics


def metrics_table(metrics: CocoMetrics) -> str:
    """AP, AP50 and the number of boxes for each class, then over all."""
    width = max([len("all classes"), *map(len, metrics.per_class)])
    lines = [f"{'class':<{width}}  {'boxes':>6}  {'AP':>6}  {'AP50':>6}"]
    for name, values in metrics.per_class.items():
        lines.append(f"{name:<{width}}  {values['boxes']:>6}  {_number(values['AP'])}  {_number(values['AP50'])}")
    boxes = sum(values["boxes"] for values in metrics.per_class.values())
    summary = metrics.summary
    lines.append(f"{'all classes':<{width}}  {boxes:>6}  {_number(summary['AP'])}  {_number(summary['AP50'])}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.3f}"
