"""A picture with its report: boxes around what was seen, and a tick or a cross for each thing that was asked."""

import numpy as np
from PIL import Image, ImageDraw

from ..verification.report import Finding, Outcome, Report
from .label_font import drawable, font_for
from .layout_drawing import INK, PAPER

COLOURS = {Outcome.HOLDS: (29, 138, 60), Outcome.FAILS: (196, 38, 29), Outcome.UNDECIDABLE: (140, 120, 40)}
BESIDE = (120, 120, 120)  # what stands for nothing in the graph
MIN_WIDTH = 512  # pixels: smaller pictures are enlarged, so that labels can be read
LINE_HEIGHT, TEXT, MARGIN, MARK = 22, 15, 8, 14  # pixels
BOX_LINE = 3
MAX_LINES = 40


def draw_report(picture: np.ndarray, report: Report) -> Image.Image:
    """A picture, uint8 [H, W, 3], with the boxes of its report, above a line for each thing that the graph says."""
    height, width, _ = picture.shape
    scale = max(1.0, MIN_WIDTH / width)
    shown = Image.fromarray(picture).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    lines = report.findings[:MAX_LINES]
    left_out = len(report.findings) - len(lines)
    rows = 1 + len(lines) + (left_out > 0)
    sheet = Image.new("RGB", (shown.width, shown.height + rows * LINE_HEIGHT + 2 * MARGIN), PAPER)
    sheet.paste(shown, (0, 0))
    draw = ImageDraw.Draw(sheet)
    _boxes(draw, report, scale)
    top = shown.height + MARGIN
    _text(draw, f"obedience {report.obedience:.2f}" + (", exact" if report.exact else ""), MARGIN, top, sheet.width)
    for row, finding in enumerate(lines, start=1):
        y = top + row * LINE_HEIGHT
        draw_mark(draw, finding.outcome, MARGIN, y + (LINE_HEIGHT - MARK) / 2)
        _text(draw, _words(finding), 2 * MARGIN + MARK, y, sheet.width)
    if left_out:
        _text(draw, f"and {left_out} more", 2 * MARGIN + MARK, top + (rows - 1) * LINE_HEIGHT, sheet.width)
    return sheet


def draw_mark(draw: ImageDraw.ImageDraw, outcome: Outcome, x: float, y: float) -> None:
    """A tick, a cross or a question mark with its top left corner at (x, y): few fonts have the first two."""
    colour = COLOURS[outcome]
    if outcome is Outcome.HOLDS:
        corners = [(x + 1, y + MARK * 0.55), (x + MARK * 0.4, y + MARK - 2), (x + MARK - 1, y + 2)]
        draw.line(corners, colour, BOX_LINE, joint="curve")
    elif outcome is Outcome.FAILS:
        draw.line((x + 2, y + 2, x + MARK - 2, y + MARK - 2), colour, BOX_LINE)
        draw.line((x + 2, y + MARK - 2, x + MARK - 2, y + 2), colour, BOX_LINE)
    else:
        draw.text((x + MARK / 2, y + MARK / 2), "?", colour, font_for("?", MARK + 3), anchor="mm")


def _boxes(draw: ImageDraw.ImageDraw, report: Report, scale: float) -> None:
    """Of everything that was seen, what stands for objects of the graph last."""
    outcomes: dict[int, Outcome] = {}
    for there, attributes, place in zip(report.objects, report.attributes, report.matched, strict=True):
        if place is not None:
            wrong = attributes is not None and attributes.outcome is Outcome.FAILS
            outcomes[place] = Outcome.FAILS if wrong else there.outcome
    for place in sorted(range(len(report.seen)), key=lambda place: place in outcomes):
        thing = report.seen[place]
        colour = COLOURS[outcomes[place]] if place in outcomes else BESIDE
        x0, y0, x1, y1 = (edge * scale for edge in thing.box)
        draw.rectangle((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), outline=colour, width=BOX_LINE)
        _label(draw, thing.phrase, x0, y0, colour)


def _label(draw: ImageDraw.ImageDraw, text: str, x: float, y: float, colour: tuple[int, int, int]) -> None:
    """A name above a box, or within its top where there is no room."""
    text, font = drawable(text), font_for(text, TEXT - 2)
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    width, height = right - left + 6, bottom - top + 6
    x, y = max(0.0, min(x, draw.im.size[0] - width)), y - height if y >= height else y
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 3 - left, y + 3 - top), text, PAPER, font)


def _words(finding: Finding) -> str:
    return finding.said + (f": {finding.why}" if finding.why else "")


def _text(draw: ImageDraw.ImageDraw, text: str, x: float, y: float, width: int) -> None:
    """A line, cut where it would leave the sheet."""
    text = drawable(text)
    font = font_for(text, TEXT)
    while len(text) > 1 and x + draw.textlength(text, font) > width - MARGIN:
        text = text[:-2].rstrip() + "…"
    draw.text((x, y + LINE_HEIGHT / 2), text, INK, font, anchor="lm")
