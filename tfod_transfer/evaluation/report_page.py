"""Writes report.html: one file with everything in it, for a desk, a phone or paper."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import numpy as np

from tfod_transfer.evaluation import insights, pictures, plots
from tfod_transfer.evaluation.confusion import confusions
from tfod_transfer.evaluation.report_content import ReportContent

FILE = "report.html"
TEMPLATES = pathlib.Path(__file__).with_name("templates")
#: With more classes the confusion matrix is too wide to read; the list of mistakes tells of it.
MATRIX_CLASSES = 12
MISTAKES = 12
FINDINGS = 20
_HISTORY = (  # title, (name in the legend, key in the history) ..., whether the axis begins at 0
    ("AP", (("AP", "AP"), ("AP50", "AP50")), True),
    ("Loss, with regularisation", (("training", "loss"),), False),
    (
        "Classification loss",
        (("training", "classification_loss"), ("validation", "val_classification_loss")),
        False,
    ),
    ("Localization loss", (("training", "localization_loss"), ("validation", "val_localization_loss")), False),
    ("Learning rate", (("learning rate", "learning_rate"),), True),
    ("Training speed, images a second", (("speed", "samples_per_second"),), True),
)


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot with what is written around it.

    Attributes:
      title: over it.
      svg: as `plots` makes it.
      description: for those who cannot see it.
      legend: names of its lines, in the order of the series' colours.
    """

    title: str
    svg: str
    description: str
    legend: tuple[str, ...]


def write_report(folder: pathlib.Path, content: ReportContent) -> pathlib.Path:
    """Writes report.html into `folder`; returns its path."""
    path = folder / FILE
    path.write_text(render(content), encoding="utf-8")
    return path


def render(content: ReportContent) -> str:
    """The page as text."""
    best, worst = pictures.best_and_worst(content)
    return (
        environment(autoescape=True)
        .get_template("report.html.jinja")
        .render(
            content=content,
            assessment=content.assessment,
            metrics=content.assessment.metrics,
            sentences=insights.sentences(content),
            style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            history_plots=_history_plots(content),
            recall_plot=_recall_plot(content),
            threshold_plot=_threshold_plot(content),
            rows=class_rows(content),
            findings=finding_counts(content.findings),
            shown_findings=content.findings[:FINDINGS],
            matrix=_matrix(content),
            mistakes=[insights.mistake(content, each) for each in confusions(content.assessment.confusion)[:MISTAKES]],
            pictures=[group for group in (("Worst", worst), ("Best", best)) if group[1]],
            settings=_settings(content),
            restored=_restored(content),
        )
    )


def environment(*, autoescape: bool) -> jinja2.Environment:
    """Templates of this package, with the filters that they use."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(figure=figure, percent=insights.percent, duration=duration)
    return made


def figure(value: float | None) -> str:
    """A value in [0, 1] with three digits; a dash for none."""
    return insights.NO_FIGURE if value is None else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def class_rows(content: ReportContent) -> list[dict[str, Any]]:
    """A row of figures for each class, as both the page and the model card show them."""
    assessment = content.assessment
    origins = content.class_origins or (None,) * len(assessment.classes)
    before = content.before.per_class if content.before else {}
    return [
        {
            "name": name,
            "origin": origin,
            "before": before.get(name, {}).get("AP"),
            "best": best,
            **assessment.metrics.per_class[name],
        }
        for name, origin, best in zip(assessment.classes, origins, assessment.best_by_class, strict=True)
    ]


def finding_counts(findings: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """(reason, action, how many) in words, the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for finding in findings:
        key = str(finding["reason"]).replace("_", " "), str(finding["action"])
        counts[key] = counts.get(key, 0) + 1
    return [(*key, count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _history_plots(content: ReportContent) -> list[Plot]:
    epochs = content.history
    made = []
    for title, series, from_zero in _HISTORY if epochs else ():
        present = [(name, key) for name, key in series if all(key in epoch for epoch in epochs)]
        if not present:
            continue
        last = ", ".join(f"{name} {epochs[-1][key]:.4g}" for name, key in present)
        description = f"{title} over {len(epochs)} epochs; at the last one: {last}."
        keys = [key for _, key in present]
        svg = plots.history(epochs, keys, content.best_epoch, description, from_zero)
        made.append(Plot(title, svg, description, tuple(name for name, _ in present)))
    return made


def _recall_plot(content: ReportContent) -> Plot | None:
    """Curves of all classes, or of the best and worst where there are more than colours; None without boxes."""
    curves = content.assessment.precision_at_recall
    measured = [row for row in range(len(curves)) if not np.isnan(curves[row]).any()]
    if not measured:
        return None
    ranked = sorted(measured, key=lambda row: -float(curves[row].mean()))
    few = len(ranked) <= plots.SERIES
    half = plots.SERIES // 2
    shown = ranked if few else [*ranked[:half], *ranked[-half:]]
    which = "each class" if few else f"the {half} best and the {half} worst of {len(ranked)} classes"
    names = tuple(content.assessment.classes[row] for row in shown)
    areas = ", ".join(f"{name} {curves[row].mean():.3f}" for name, row in zip(names, shown, strict=True))
    mean = curves[measured].mean(axis=0) if len(measured) > 1 else None
    description = f"Precision against recall at IoU 0.50 of {which}; area under each curve: {areas}."
    svg = plots.precision_recall(curves[shown], mean, description)
    return Plot(f"Precision and recall of {which}", svg, description, names)


def _threshold_plot(content: ReportContent) -> Plot | None:
    best = content.assessment.best
    if best is None:
        return None
    description = (
        f"Precision, recall and F1 of all classes together against the score threshold; F1 is best, {best.f1:.3f}, "
        f"at {best.threshold:.3f}."
    )
    svg = plots.thresholds(content.assessment.sweep, best, description)
    return Plot("All classes together", svg, description, ("precision", "recall", "F1"))


def _matrix(content: ReportContent) -> list[list[dict[str, Any]]] | None:
    """Cells with a count and a strength 0..1 for its colour; None with too many classes to show."""
    matrix = content.assessment.confusion
    last = len(matrix) - 1
    if last > MATRIX_CLASSES:
        return None
    whole = np.maximum(1, matrix.sum(axis=1, keepdims=True))
    strength = np.sqrt(matrix / whole).round(3)
    return [
        [
            {
                "count": int(matrix[row, column]),
                "strength": float(strength[row, column]),
                "kind": "right" if row == column else "wrong",
                "void": row == column == last,
            }
            for column in range(last + 1)
        ]
        for row in range(last + 1)
    ]


def _settings(content: ReportContent) -> list[tuple[str, str, str | None]]:
    """(name, value, the recipe's value where it is another), what differs first."""
    rows = []
    for name, value in (content.hyperparameters or {}).items():
        usual = (content.recipe or {}).get(name, value)
        rows.append((name, _setting(value), None if _same(usual, value) else _setting(usual)))
    return sorted(rows, key=lambda row: row[2] is None)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second)
    return bool(first == second)


def _setting(value: Any) -> str:
    return (
        insights.NO_FIGURE if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _restored(content: ReportContent) -> list[tuple[str, int, int]]:
    """(what became of them, variables, parameters) from restore.json."""
    if content.restore is None:
        return []
    words = {"restored": "restored", "reinitialized": "re-initialised", "unused": "unused, of the checkpoint"}
    totals = content.restore["totals"]
    return [(word, totals[key]["variables"], totals[key]["parameters"]) for key, word in words.items()]
