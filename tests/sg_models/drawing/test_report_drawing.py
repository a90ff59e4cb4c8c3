"""The drawing of a report: what holds and what does not is seen to."""

import numpy as np

from sg_models.drawing.report_drawing import COLOURS, MAX_LINES, draw_report
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraph, SceneObject
from sg_models.verification.detection import DetectedObject
from sg_models.verification.report import Outcome
from sg_models.verification.verify import verify

PICTURE = np.full((64, 64, 3), 200, np.uint8)
LEFT, RIGHT = (4, 24, 20, 40), (44, 24, 60, 40)


def counts(graph: SceneGraph, *things: DetectedObject) -> dict[Outcome, int]:
    """Pixels in the colour of each outcome."""
    drawn = np.asarray(draw_report(PICTURE, verify(graph, things)))
    return {outcome: int((drawn == colour).all(axis=-1).sum()) for outcome, colour in COLOURS.items()}


def test_ticks_and_crosses_are_of_the_outcomes():
    graph = parse_scene_graph("dog | left of | cat")
    right = counts(graph, DetectedObject("dog", LEFT, 1.0), DetectedObject("cat", RIGHT, 1.0))
    assert right[Outcome.HOLDS] > 500 and right[Outcome.FAILS] == right[Outcome.UNDECIDABLE] == 0
    wrong = counts(graph, DetectedObject("dog", RIGHT, 1.0), DetectedObject("cat", LEFT, 1.0))
    assert wrong[Outcome.HOLDS] > 500 and 0 < wrong[Outcome.FAILS] < 200 and wrong[Outcome.UNDECIDABLE] == 0
    missing = counts(graph, DetectedObject("dog", LEFT, 1.0))
    assert min(missing.values()) > 0


def test_an_object_with_wrong_attributes_has_a_box_in_red():
    graph = parse_scene_graph("brown dog")
    assert counts(graph, DetectedObject("dog", LEFT, 1.0, ("white",)))[Outcome.FAILS] > 500


def test_small_pictures_are_enlarged_and_many_lines_are_cut():
    graph = SceneGraph(tuple(SceneObject(f"thing {k}") for k in range(256)))
    sheet = draw_report(PICTURE, verify(graph, []))
    assert sheet.width == 512 and 512 < sheet.height < 512 + (MAX_LINES + 4) * 24
    assert draw_report(np.zeros((600, 900, 3), np.uint8), verify(graph, [])).width == 900
