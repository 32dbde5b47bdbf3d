"""Writes model_card.md: what a model is, how good it is, how to use it, for whoever gets it."""

from __future__ import annotations

import pathlib
import re

from tfod_transfer import artifact
from tfod_transfer.evaluation import insights, report_page
from tfod_transfer.evaluation.report_content import ReportContent

FILE = "model_card.md"
_NAMED = 8  # classes in the title
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def write_model_card(folder: pathlib.Path, content: ReportContent) -> pathlib.Path:
    """Writes model_card.md into `folder`; returns its path."""
    path = folder / FILE
    path.write_text(render(content), encoding="utf-8")
    return path


def render(content: ReportContent) -> str:
    """The card as Markdown."""
    templates = report_page.environment(autoescape=False)
    templates.filters["markdown"] = markdown
    names = content.assessment.classes
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    text = templates.get_template("model_card.md.jinja").render(
        content=content,
        assessment=content.assessment,
        names=[*names[:_NAMED], *more],
        rows=report_page.class_rows(content),
        findings=report_page.finding_counts(content.findings),
        sentences=insights.sentences(content),
        saved_model=f"ARTIFACT/{artifact.VERSION_FOLDER}",
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def markdown(text: object) -> str:
    """`text` in one line, shown as it is, wherever Markdown puts it."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
