"""The page at /: a person drops an image and sees the boxes. It has everything in it, and asks this server alone."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import jinja2

from tfod_transfer.serving.server.settings import Settings

TEMPLATES = pathlib.Path(__file__).with_name("templates")
#: Its own style and script, pictures that the browser made, requests to this server: nothing else.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)


def render(settings: Settings, labels: Sequence[str | int]) -> str:
    """The page as text; `labels` is the model's list, "N/A" first and at holes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.jinja").render(
        name=settings.model_name,
        labels=list(labels),
        classes=[label for label in labels if label != "N/A"],
        max_body_bytes=settings.max_body_bytes,
        style=(TEMPLATES / "page.css").read_text("utf-8"),
        script=(TEMPLATES / "page.js").read_text("utf-8"),
    )
