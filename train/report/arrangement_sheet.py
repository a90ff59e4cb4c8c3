"""A sheet of arranged graphs for people: boxes with their phrases, and below what the graph says."""

from collections.abc import Sequence
from textwrap import shorten

import torch
from PIL import Image, ImageDraw

from sg_models.drawing.label_font import drawable, font_for
from sg_models.drawing.layout_drawing import INK, PAPER, draw_layout
from sg_models.graph.scene_graph import SceneGraph

SIDE, LINES, LINE_HEIGHT, TEXT_SIZE, GAP = 240, 5, 15, 11, 12  # pixels, but for the number of lines
FRAME = (190, 196, 200)


def draw_sheet(graphs: Sequence[SceneGraph], columns: int) -> Image.Image:
    """Graphs whose objects all have boxes, row by row."""
    height = SIDE + LINES * LINE_HEIGHT
    rows = -(-len(graphs) // columns)
    sheet = Image.new("RGB", (columns * (SIDE + GAP) + GAP, rows * (height + GAP) + GAP), PAPER)
    for place, graph in enumerate(graphs):
        row, column = divmod(place, columns)
        sheet.paste(draw_cell(graph, height), (GAP + column * (SIDE + GAP), GAP + row * (height + GAP)))
    return sheet


def draw_cell(graph: SceneGraph, height: int) -> Image.Image:
    """One graph: its layout, framed, and its relations below as far as there is room."""
    cell = Image.new("RGB", (SIDE, height), PAPER)
    cell.paste(draw_layout(graph, torch.tensor([thing.box for thing in graph.objects]), (SIDE, SIDE)))
    draw = ImageDraw.Draw(cell)
    draw.rectangle((0, 0, SIDE - 1, SIDE - 1), outline=FRAME)
    for place, line in enumerate(said(graph)):
        text = drawable(shorten(line, 44, placeholder=" …"))
        draw.text((2, SIDE + 2 + place * LINE_HEIGHT), text, INK, font_for(text, TEXT_SIZE))
    return cell


def said(graph: SceneGraph) -> list[str]:
    """A graph's relations in words, at most `LINES` lines."""
    names = [thing.name for thing in graph.objects]
    lines = [f"{names[r.subject]} {r.predicate} {names[r.object]}" for r in graph.relations]
    return lines if len(lines) <= LINES else [*lines[: LINES - 1], f"and {len(lines) - LINES + 1} more"]
