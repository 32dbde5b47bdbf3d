"""Names in any script: in a font that has them, else as escapes, and as long as there is room."""

from __future__ import annotations

import pathlib

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from tfod_transfer import lettering

KANGAROO = "袋鼠"


@pytest.fixture(autouse=True)
def forget_fonts() -> None:
    lettering._font_with.cache_clear()


def make_font(path: pathlib.Path, characters: str) -> str:
    """Writes a font that draws a bar of its own height for each character, and a square for others."""
    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", *(f"c{ord(c)}" for c in characters)]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"c{ord(c)}" for c in characters})
    glyphs = {}
    for row, name in enumerate(names):
        pen = TTGlyphPen(None)
        top = 700 - 20 * row
        pen.moveTo((0, 0))
        for corner in ((0, top), (500, top), (500, 0)):
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(str(path))
    return str(path)


@pytest.mark.parametrize("name", ["cat", "Žluťoučký kůň", "Кошка", "γάτα", "قط", "½ m²"])
def test_dejavu_has_most_scripts_of_the_west(name: str) -> None:
    text, font = lettering.fitted(name, " 0.90", 20, 1000)
    assert text == f"{name} 0.90"
    assert "DejaVuSans" in font.path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(KANGAROO, r"\u888b\u9f20", id="all"),
        pytest.param("a 袋", r"a \u888b", id="some"),
        pytest.param("🦘", r"\U0001f998", id="beyond sixteen bits"),
    ],
)
def test_what_no_font_has_is_escaped(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_system_fonts", list)
    assert lettering.fitted(name, " 0.90", 20, 1000)[0] == f"{text} 0.90"


def test_a_font_of_the_system_that_has_the_whole_name_is_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    half = make_font(tmp_path / "half.ttf", "袋")
    whole = make_font(tmp_path / "whole.ttf", KANGAROO + " .09")
    monkeypatch.setattr(lettering, "_system_fonts", lambda: [str(tmp_path / "broken.ttf"), half, whole])
    text, font = lettering.fitted(KANGAROO, " 0.90", 20, 1000)
    assert (text, font.path) == (f"{KANGAROO} 0.90", whole)


@pytest.mark.parametrize("score", ["", " 0.90"])
def test_a_long_name_is_shortened_and_keeps_its_score(score: str) -> None:
    text, font = lettering.fitted("a very long name " * 10, score, 20, 200)
    assert text.startswith("a very")
    assert text.endswith("…" + score)
    assert font.getlength(text) <= 200


def test_where_there_is_no_room_the_score_remains() -> None:
    assert lettering.fitted("name", " 0.90", 20, 5)[0] == "… 0.90"
