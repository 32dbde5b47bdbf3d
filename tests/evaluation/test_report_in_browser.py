"""Reports with everything in them, and with awkward names, opened in a browser; and that it would see what is wrong."""

from __future__ import annotations

import pathlib

import pytest
from browser import WIDTHS, open_page
from report_contents import make_content

from tfod_transfer.evaluation import report_page

pytestmark = pytest.mark.acceptance

_BROKEN = """<!doctype html><title>broken</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<p style="width: 900px">wide</p>
<img src="data:image/jpeg;base64,AAAA" width="100" height="100" alt="no picture">
<svg width="10" height="10"><path d="M 0 0 L 1 1"/></svg>
<img src="/elsewhere.png" alt="">
<script>console.error("something is wrong")</script>"""


def test_a_report_with_everything_in_it_fits_a_phone_and_a_desk(tmp_path: pathlib.Path) -> None:
    page = report_page.write_report(tmp_path, make_content(tmp_path / "images"))
    (tmp_path / "server").mkdir()
    opened = open_page(page, tmp_path / "server")
    assert opened.console == []
    for width in WIDTHS:
        found = opened.by_width[width]
        assert found["inner_width"] == width
        assert found["scroll_width"] <= found["client_width"], found["beyond"]
        assert found["beyond"] == []
        assert all(found["images"])
        assert len(found["plots"]) == 8
        assert all(found["plots"])


def test_what_is_wrong_with_a_page_is_seen(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text(_BROKEN)
    (tmp_path / "server").mkdir()
    opened = open_page(page, tmp_path / "server")
    assert any("something is wrong" in line for line in opened.console)
    assert "/elsewhere.png" in opened.requested
    phone = opened.by_width[390]
    assert phone["scroll_width"] > phone["client_width"]
    assert len(phone["beyond"]) == 1
    assert phone["images"] == [False, False]
    assert phone["plots"] == [False]
    assert opened.by_width[1280]["beyond"] == []
