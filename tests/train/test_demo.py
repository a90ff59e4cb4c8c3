"""The demonstration: a sheet of graphs, pictures and marks that say what the oracle says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sg_models.bases import sg_mini
from sg_models.drawing.graph_drawing import draw_scene_graph
from sg_models.verification.shapes.oracle import judge
from train.data.graph_sources import read_graphs
from train.data.shapes.scene import render, scene, seeds
from train.demo import GRAPHS, LINE, MARGIN, RIGHT, SCALE, WRONG, Config, _row, main

SIDE = sg_mini.SIDE * SCALE
TEXT_TOP = MARGIN + SIDE + MARGIN // 2
SCENES = [scene(seed) for seed in seeds("held-out", 6)]
PICTURES = [Image.fromarray(render(s)) for s in SCENES]


def left_of(picture: int) -> int:
    """Where a row's pictures begin; 0 is the drawing of the graph."""
    return MARGIN + picture * (SIDE + MARGIN)


def marks(area: Image.Image) -> set[str]:
    """The colours of marks and boxes in a part of a sheet."""
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.asarray(area).reshape(-1, 3)} & {RIGHT, WRONG}


def test_a_graph_that_comes_with_the_project(tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "new" / "sheet.png"
    main(Config(graphs=GRAPHS / "desk.txt", out=out, n=1))
    (graph,) = read_graphs([str(GRAPHS / "desk.txt")]).values()
    sheet = Image.open(out)
    assert sheet.size == (left_of(2), TEXT_TOP + (len(graph.objects) + len(graph.relations)) * LINE + MARGIN)
    drawing = sheet.crop((MARGIN, MARGIN, MARGIN + SIDE, MARGIN + SIDE))
    assert np.array_equal(np.asarray(drawing), np.asarray(draw_scene_graph(graph, SIDE, SIDE)))
    assert marks(sheet.crop((left_of(1), TEXT_TOP, *sheet.size))), "no verdict"
    assert capsys.readouterr().out.strip() == str(out)


@pytest.mark.parametrize("which", range(len(SCENES)))
def test_a_tick_or_a_cross_by_every_object_and_relation(which: int):
    """A true picture has ticks alone; another scene's has crosses wherever the oracle sees something else."""
    graph = SCENES[which].graph
    pictures = [PICTURES[which], PICTURES[which - 1]]
    verdicts = [judge(np.asarray(picture), graph) for picture in pictures]
    row = _row(graph, list(zip(pictures, verdicts, strict=True)))
    assert verdicts[0].exact and not verdicts[1].exact
    assert row.size == (left_of(3), TEXT_TOP + len(graph.objects + graph.relations) * LINE)
    for picture, verdict in enumerate(verdicts, start=1):
        for line, good in enumerate((*verdict.bound, *verdict.related)):
            left, top = left_of(picture), TEXT_TOP + line * LINE
            assert marks(row.crop((left, top, left + LINE, top + LINE))) == {RIGHT if good else WRONG}


def test_boxes_are_green_where_an_object_of_the_graph_is_meant_and_red_elsewhere():
    graph = SCENES[0].graph
    shown = judge(np.asarray(PICTURES[0]), graph).detections
    fewer = type(graph)(graph.objects[1:])
    verdict = judge(np.asarray(PICTURES[0]), fewer)
    row, meant = _row(fewer, [(PICTURES[0], verdict)]), verdict.matched
    assert len(meant) == len(shown) - 1
    for detection in shown:
        x, y = left_of(1) + int(detection.box[0]) * SCALE, MARGIN + int(detection.box[1]) * SCALE
        assert marks(row.crop((x, y, x + 1, y + 1))) == {RIGHT if detection in meant else WRONG}
