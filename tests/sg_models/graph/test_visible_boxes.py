"""Boxes that are too small to steer anything are told."""

import pytest

from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraphError
from sg_models.graph.visible_boxes import check_visible


def test_a_box_of_under_two_cells_is_told():
    thin = parse_scene_graph("dog @ 0 0 1 1\npole @ 0.5 0.1 0.52 0.9")
    check_visible(thin, (64, 128), "GLIGEN needs")
    check_visible(parse_scene_graph("dog"), (8, 8), "GLIGEN needs")
    with pytest.raises(
        SceneGraphError, match='"pole" covers 1.3 × 51.2 cells of 64 × 64, and GLIGEN needs 2.* 0.031 wide'
    ):
        check_visible(thin, (64, 64), "GLIGEN needs")


def test_two_cells_are_enough():
    check_visible(parse_scene_graph("dog @ 0.1 0.1 0.225 0.225"), (16, 16), "GLIGEN needs")
