"""Plots as SVG text that belongs into a page: it takes the page's fonts and colours, in light and in dark.

Names of classes are never in a plot: the page writes them, in any script, into the legend beside it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfod_transfer.evaluation import curves
from tfod_transfer.evaluation.curves import OperatingPoint, Sweep

#: Colours that the page's style sheet defines, --series-0 and on; lines beyond the fourth are dashed too.
SERIES = 8
_SMALL, _MEDIUM, _LARGE = (3.5, 2.3), (4.6, 3.0), (5.4, 3.4)  # inches, for about as much room in the page
# Colours that stand for those of the page.
_INK, _FAINT = "#010200", "#010300"
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "lines.linewidth": 1.8,
}


def history(
    epochs: Sequence[Mapping[str, Any]], keys: Sequence[str], best_epoch: int | None, description: str, from_zero: bool
) -> str:
    """Values of each epoch under each of `keys`, against the epoch; the best one is marked."""
    figure, axes = _axes(_SMALL)
    numbers = [epoch["epoch"] for epoch in epochs]
    for index, key in enumerate(keys):
        marker = "o" if len(numbers) <= 12 else ""
        axes.plot(numbers, [epoch[key] for epoch in epochs], marker=marker, markersize=4, **_line(index))
    if best_epoch is not None:
        axes.axvline(best_epoch, color=_INK, linewidth=1, linestyle=(0, (2, 3)))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if from_zero:
        axes.set_ylim(bottom=0)
    return _svg(figure, description)


def precision_recall(precision: npt.NDArray[np.float64], mean: npt.NDArray[np.float64] | None, description: str) -> str:
    """Curves of C classes, float64 [C, 101] at COCO's recalls, and the mean of all as a thin dark line."""
    figure, axes = _axes(_LARGE)
    for index, curve in enumerate(precision):
        axes.plot(curves.RECALLS, curve, **_line(index))
    if mean is not None:
        axes.plot(curves.RECALLS, mean, color=_INK, linewidth=1.2, linestyle=(0, (1, 2)))
    _unit(axes, "recall", "precision")
    return _svg(figure, description)


def thresholds(sweep: Sweep, best: OperatingPoint | None, description: str) -> str:
    """Precision, recall and F1 against the score threshold; the best F1 is marked."""
    figure, axes = _axes(_MEDIUM)
    for index, values in enumerate((sweep.precision, sweep.recall, sweep.f1)):
        axes.plot(curves.THRESHOLDS, values, **_line(index))
    if best:
        axes.axvline(best.threshold, color=_INK, linewidth=1, linestyle=(0, (2, 3)))
    _unit(axes, "score threshold", "")
    return _svg(figure, description)


def _axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        return figure, figure.add_subplot()


def _unit(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x_label, ylabel=y_label)


def _line(index: int) -> dict[str, Any]:
    return {"color": f"#0101{index % SERIES:02x}", "linestyle": "-" if index < SERIES // 2 else (0, (5, 2))}


def _svg(figure: Figure, description: str) -> str:
    """The figure as an <svg> element with nothing in it that another one on the page could clash with."""
    text = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": description}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # A <style> would be the whole page's; the size is for the page's style sheet to say.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"#0101([0-9a-f]{2})", lambda match: f"var(--series-{int(match[1], 16)})", svg)
    svg = svg.replace(_INK, "var(--ink)").replace(_FAINT, "var(--line)")
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
