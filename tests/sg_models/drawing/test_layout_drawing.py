"""Boxes with labels: every box is seen whole, however small it is and wherever it lies."""

import numpy as np
import pytest

from sg_models.drawing.layout_drawing import INK, LINE, draw_boxes, name_colour
from sg_models.graph.scene_graph import SceneGraph, SceneObject

SIZE = (300, 200)


def drawn(*boxes: tuple[float, float, float, float]) -> tuple[SceneGraph, np.ndarray]:
    graph = SceneGraph(tuple(SceneObject(f"thing {'abc'[i]}", box=box) for i, box in enumerate(boxes)))
    return graph, np.asarray(draw_boxes(graph, SIZE))


def is_whole(picture: np.ndarray, thing: SceneObject) -> bool:
    """Whether all four edges of a box have its colour."""
    x0, y0, x1, y1 = (round(v * side) for v, side in zip(thing.box, SIZE * 2, strict=True))
    x1, y1 = min(x1, SIZE[0] - 1), min(y1, SIZE[1] - 1)
    edges = picture[y0, x0 : x1 + 1], picture[y1, x0 : x1 + 1], picture[y0 : y1 + 1, x0], picture[y0 : y1 + 1, x1]
    return all((edge == name_colour(thing.name)).all() for edge in edges)


@pytest.mark.parametrize(
    "box",
    [(0.3, 0.3, 0.7, 0.8), (0.4, 0.5, 0.42, 0.53), (0, 0, 0.05, 0.04), (0.95, 0.96, 1, 1), (0, 0, 1, 1)],
    ids=["usual", "small", "small above", "small below", "whole"],
)
def test_a_box_is_whole_and_its_name_stands_beside_it(box):
    graph, picture = drawn(box)
    assert is_whole(picture, graph.objects[0])
    assert (picture == INK).all(axis=-1).sum() > 20


def test_a_label_hides_no_edge_of_another_box():
    graph, picture = drawn((0.2, 0.3, 0.9, 0.9), (0.25, 0.33, 0.45, 0.6), (0.3, 0.36, 0.4, 0.39))
    assert all(is_whole(picture, thing) for thing in graph.objects)
    assert LINE > 1
