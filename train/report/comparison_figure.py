"""One figure of the same graphs drawn by several variants: a column per graph, a row per variant."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from sg_models.bases.known_bases import BASES
from sg_models.drawing.graph_drawing import draw_scene_graph
from sg_models.drawing.label_font import font_for
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from train.bases.load import load_base
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.report.picture_grid import to_pil

PAPER, INK = (250, 250, 248), (20, 32, 43)
MARGIN, LABEL_WIDTH, TEXT = 8, 150, 13  # pixels


def draw_comparison(base: str, variants: Mapping[str, str], graphs: Sequence[SceneGraph], path: Path) -> None:
    """Writes the figure; `variants` gives each one's description by its name. All draw from the same noise."""
    side = BASES[base].side
    step = side + MARGIN
    size = LABEL_WIDTH + len(graphs) * step + MARGIN, (len(variants) + 1) * step + MARGIN
    figure = Image.new("RGB", size, PAPER)
    for column, graph in enumerate(graphs):
        figure.paste(draw_scene_graph(graph, side, side), (LABEL_WIDTH + column * step, MARGIN))
    for place, (name, description) in enumerate(variants.items(), start=1):
        _label(ImageDraw.Draw(figure), f"({name}) {description}", MARGIN + place * step)
        for column, picture in enumerate(_draw(base, name, graphs)):
            figure.paste(picture, (LABEL_WIDTH + column * step, MARGIN + place * step))
    with whole_file(path) as file:
        figure.save(file, "PNG")


def _draw(base: str, name: str, graphs: Sequence[SceneGraph]) -> list[Image.Image]:
    loaded = load_base(base).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    condition = load_variant(loaded, name)
    noise = starting_noise(loaded, 0, 1).expand(len(graphs), -1, -1, -1)
    return [to_pil(picture) for picture in draw_graphs(loaded, condition, graphs, noise)]


def _label(draw: ImageDraw.ImageDraw, text: str, top: int) -> None:
    """Words under each other, as many to a line as fit."""
    font, line, y = font_for(text, TEXT), "", top
    for word in text.split():
        longer = f"{line} {word}".strip()
        if draw.textlength(longer, font) > LABEL_WIDTH - 2 * MARGIN and line:
            draw.text((MARGIN, y), line, INK, font)
            line, y = word, y + TEXT + 4
        else:
            line = longer
    draw.text((MARGIN, y), line, INK, font)
