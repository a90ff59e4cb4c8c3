"""Draws the graphs that come with the project and writes one sheet: graph, pictures, and the oracle's verdict.

python train/demo.py
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sg_models.bases import sg_mini
from sg_models.drawing.graph_drawing import draw_scene_graph
from sg_models.drawing.label_font import font_for
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.verdict import Verdict
from train.bases.load import load_base
from train.conditioning.sampling import draw_graphs, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.data.graph_sources import read_graphs
from train.data.known_datasets import DatasetOptions, open_dataset
from train.report.metrics import judge_all
from train.report.picture_grid import to_pil
from train.running.command_line import run

GRAPHS = Path(__file__).resolve().parent.parent / "graphs"
SCALE = 2  # pictures are shown this much larger
MARGIN, LINE, TEXT = 12, 17, 13  # pixels
RIGHT, WRONG, INK, PAPER = "#1d8a3c", "#c4261d", "#14202b", "#ffffff"


@dataclass
class Config(DatasetOptions):
    graphs: Path = GRAPHS
    """a folder of graphs, or one file"""
    adapter: str = "vi"
    n: int = 4
    """pictures per graph"""
    seed: int = 0
    out: Path = Path("demo/sheet.png")


def main(config: Config) -> None:
    graphs = read_graphs([str(config.graphs)])
    base = load_base(sg_mini.NAME).freeze()
    condition = load_variant(base, config.adapter)
    noise = starting_noise(base, config.seed, config.n)
    wanted = [graph for graph in graphs.values() for _ in range(config.n)]
    pictures = [to_pil(p) for p in draw_graphs(base, condition, wanted, noise.repeat(len(graphs), 1, 1, 1))]
    verdicts = judge_all(open_dataset(config), [np.asarray(picture) for picture in pictures], wanted)
    judged = list(zip(pictures, verdicts, strict=True))
    rows = [_row(graph, judged[i * config.n : (i + 1) * config.n]) for i, graph in enumerate(graphs.values())]
    with whole_file(config.out) as file:
        _stack(rows).save(file, "PNG")
    print(config.out.resolve())


def _row(graph: SceneGraph, judged: list[tuple[Image.Image, Verdict]]) -> Image.Image:
    """One graph: its drawing, then each picture with boxes and a line per object and relation."""
    side = sg_mini.SIDE * SCALE
    lines = len(graph.objects) + len(graph.relations)
    height = MARGIN + side + MARGIN // 2 + lines * LINE
    row = Image.new("RGB", (MARGIN + (side + MARGIN) * (1 + len(judged)), height), PAPER)
    row.paste(draw_scene_graph(graph, side, side), (MARGIN, MARGIN))
    for i, (picture, verdict) in enumerate(judged, start=1):
        left = MARGIN + i * (side + MARGIN)
        row.paste(_draw_boxes(picture, verdict), (left, MARGIN))
        _write_verdict(ImageDraw.Draw(row), graph, verdict, left, MARGIN + side + MARGIN // 2)
    return row


def _draw_boxes(picture: Image.Image, verdict: Verdict) -> Image.Image:
    """The picture enlarged, with the oracle's boxes: green where an object of the graph is meant, red elsewhere."""
    large = picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(large)
    right = {id(d) for d, bound in zip(verdict.matched, verdict.bound, strict=True) if bound}
    for detection in verdict.detections:
        box = [v * SCALE for v in detection.box]
        draw.rectangle(box, outline=RIGHT if id(detection) in right else WRONG, width=2)
    return large


def _write_verdict(draw: ImageDraw.ImageDraw, graph: SceneGraph, verdict: Verdict, left: int, top: int) -> None:
    lines = [(o.phrase, good) for o, good in zip(graph.objects, verdict.bound, strict=True)]
    for relation, good in zip(graph.relations, verdict.related, strict=True):
        ends = graph.objects[relation.subject].name, graph.objects[relation.object].name
        lines.append((f"{ends[0]} {relation.predicate} {ends[1]}", good))
    for i, (text, good) in enumerate(lines):
        y = top + i * LINE
        _mark(draw, left, y, good)
        draw.text((left + LINE, y), text, INK, font_for(text, TEXT))


def _mark(draw: ImageDraw.ImageDraw, x: int, y: int, good: bool) -> None:
    """A tick or a cross; fonts often have neither."""
    if good:
        draw.line([(x + 2, y + 8), (x + 5, y + 12), (x + 11, y + 3)], RIGHT, 2, "curve")
    else:
        draw.line([(x + 2, y + 3), (x + 11, y + 12)], WRONG, 2)
        draw.line([(x + 2, y + 12), (x + 11, y + 3)], WRONG, 2)


def _stack(rows: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows) + MARGIN), PAPER)
    y = 0
    for row in rows:
        sheet.paste(row, (0, y))
        y += row.height
    return sheet


if __name__ == "__main__":
    run(main, Config)
