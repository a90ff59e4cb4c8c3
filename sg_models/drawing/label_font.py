"""Fonts for text in any script.

Pillow's own font has the letters of English and no others. Text that needs more takes the first of the usual system
fonts that has all of its letters; where none has, accents are dropped (ü → u) and the rest stays as empty squares.
"""

import unicodedata
from functools import lru_cache
from typing import Any

from PIL import ImageFont

# Of Linux, Windows and macOS; the alphabetic ones first, then those with Chinese, Japanese and Korean.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "Arial Unicode.ttf",
    "PingFang.ttc",
)
NO_CHARACTER = "\U0010ffff"  # a code point that no font draws: shows the font's sign for a missing letter
PROBE_SIZE = 20  # pixels

Font = Any  # FreeTypeFont, or Pillow's bitmap font where Pillow was built without FreeType


def font_for(text: str, size: float) -> Font:
    """The font of `size` pixels that shows `text` best: Pillow's own wherever that has every letter."""
    names = _font_names() if not text.isascii() else ("",)
    return _font(next((name for name in names if _has_all(name, text)), ""), size)


def drawable(text: str) -> str:
    """`text` without the accents that no font at hand can draw."""
    if text.isascii() or any(_has_all(name, text) for name in _font_names()):
        return text
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


@lru_cache(maxsize=1)
def _font_names() -> tuple[str, ...]:
    """Pillow's own font ("") and the system fonts that this machine has."""
    found = [""]
    for name in SYSTEM_FONTS:
        try:
            _font(name, PROBE_SIZE)
        except OSError:  # not installed
            continue
        found.append(name)
    return tuple(found)


@lru_cache(maxsize=128)
def _font(name: str, size: float) -> Font:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size=size)


def _has_all(name: str, text: str) -> bool:
    return all(character.isspace() or _has_glyph(name, character) for character in set(text))


@lru_cache(maxsize=4096)
def _has_glyph(name: str, character: str) -> bool:
    font = _font(name, PROBE_SIZE)
    return bytes(font.getmask(character)) != bytes(font.getmask(NO_CHARACTER))
