"""Fonts for names in any script: what no font here has is written as escapes, never as empty boxes."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from typing import Any

from PIL import Image, ImageDraw, ImageFont

_ABSENT = "\U0010ffff"  # no character, and no font has it
_ELLIPSIS = "…"
_PROBE = 24


def fitted(name: str, score: str, size: int, width: float) -> tuple[str, Any]:
    r"""Returns the text to write, and the font to write it in.

    Args:
      name: in any script. A font that has all of it is looked for, among those of this system if need be; without one,
        the characters that DejaVu Sans lacks are escaped (`\u888b`).
      score: what follows it, in any case.
      size: height in pixels.
      width: room in pixels. A name that needs more is shortened; what is left of it ends with an ellipsis.
    """
    path = _font_with(name + score)
    if path is None:
        path = _default()
        name = "".join(c if _draws(path, c) else c.encode("unicode_escape").decode() for c in name)
    font = _load(path, size)
    if font.getlength(name + score) <= width:
        return name + score, font
    while name and font.getlength(name + _ELLIPSIS + score) > width:
        name = name[:-1]
    return name.rstrip() + _ELLIPSIS + score, font


@functools.lru_cache(maxsize=4096)
def _font_with(text: str) -> str | None:
    """The first font that has every character, or None."""
    characters = sorted(set(text), reverse=True)  # the rarest first
    default = _default()
    if all(_draws(default, c) for c in characters):
        return default
    return next((path for path in _system_fonts() if all(_draws(path, c) for c in characters)), None)


@functools.lru_cache(maxsize=1)
def _default() -> str:
    """DejaVu Sans, which matplotlib carries (Latin, Greek, Cyrillic, …); "" for Pillow's own, without matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = pathlib.Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return str(file)
    return ""


@functools.lru_cache(maxsize=1)
def _system_fonts() -> list[str]:
    """The font files of this system; bold and slanted ones last."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    from matplotlib import font_manager

    fonts: list[str] = font_manager.findSystemFonts()
    return sorted(fonts, key=lambda path: (not any(word in path for word in ("Regular", "Medium")), path))


@functools.lru_cache(maxsize=1 << 16)
def _draws(path: str, character: str) -> bool:
    """Whether a font has a character: it draws something else than in the place of one that it lacks."""
    return _drawn(path, character) not in (None, _drawn(path, _ABSENT))


@functools.lru_cache(maxsize=1 << 12)
def _drawn(path: str, character: str) -> bytes | None:
    """The pixels of a character; None where the font cannot be used."""
    canvas = Image.new("L", (3 * _PROBE, 3 * _PROBE))
    try:
        ImageDraw.Draw(canvas).text((_PROBE, _PROBE), character, fill=255, font=_load(path, _PROBE))
    except OSError:  # a bitmap font of other sizes, or a file that is none
        return None
    return canvas.tobytes()


@functools.lru_cache(maxsize=64)
def _load(path: str, size: int) -> Any:
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
