"""The objective of a scene graph: each object's phrase in its box, each relation's in both, and nowhere else."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneGraphError, SceneObject
from sg_models.guidance.graph_guidance import GraphObjective, Weights, other_places, overlaps
from sg_models.guidance.view import View
from sg_models.guidance.windows import around, cut_out, graph_boxes, hulls

CIRCLE = SceneObject("circle", ("red",), (0.1, 0.1, 0.35, 0.35))
SQUARE = SceneObject("square", ("blue",), (0.6, 0.6, 0.9, 0.9))
GRAPH = SceneGraph((CIRCLE, SQUARE), (Relation(0, "above", 1),))
MEANING = {"red circle": [1.0, 0, 0], "blue square": [0, 1.0, 0], "red circle above blue square": [0.7, 0.7, 0]}


class Painted:
    """Pictures of meanings [B, 3, h, w], seen as the mean meaning of a window: what a perfect eye would see."""

    def __init__(self, fields: Tensor) -> None:
        self.fields, self.maps = fields, [fields]

    def embed(self, windows: Tensor, picture_of: Tensor) -> Tensor:
        return F.normalize(cut_out(self.fields, windows, picture_of, 4).mean(dim=(2, 3)) + 1e-4, dim=-1)


def embed(texts: list[str]) -> Tensor:
    return F.normalize(torch.tensor([MEANING[text] for text in texts]), dim=-1)


def paint(*things: tuple[SceneObject, str]) -> Tensor:
    """A field [3, 20, 20] with what the words mean where the boxes are, and the third meaning elsewhere."""
    field = torch.zeros(3, 20, 20)
    field[2] = 0.5
    for thing, words in things:
        x0, y0, x1, y1 = (round(20 * v) for v in thing.box)
        field[:, y0:y1, x0:x1] = torch.tensor(MEANING[words])[:, None, None]
    return field


def score(fields: list[Tensor], weights: Weights, graphs: list[SceneGraph] | None = None) -> Tensor:
    batch = torch.stack(fields)
    view = View(batch, batch, torch.zeros(len(fields)), 0.5)
    return GraphObjective(graphs or [GRAPH], embed, weights)(Painted(batch), view)


RIGHT = paint((CIRCLE, "red circle"), (SQUARE, "blue square"))
SWAPPED = paint((CIRCLE, "blue square"), (SQUARE, "red circle"))
BARE = paint()


@pytest.mark.parametrize("weights", [Weights(1, 0, 0), Weights(0, 1, 0), Weights(0, 0, 1)])
def test_each_part_alone_prefers_the_picture_that_obeys(weights):
    right, bare = score([RIGHT, BARE], weights)
    assert right > bare + 0.1


@pytest.mark.parametrize("weights", [Weights(1, 0, 0), Weights(0, 0, 1)])
def test_objects_that_have_traded_places_obey_less(weights):
    right, swapped = score([RIGHT, SWAPPED], weights)
    assert right > swapped + 0.1


def test_geometry_minds_what_is_elsewhere_too_and_objects_do_not():
    there = SceneObject("circle", ("red",), (0.6, 0.1, 0.9, 0.35))
    twice = paint((CIRCLE, "red circle"), (SQUARE, "blue square"), (there, "red circle"))
    objects, geometry = (score([RIGHT, twice], w) for w in (Weights(1, 0, 0), Weights(0, 0, 1)))
    assert torch.allclose(objects[0], objects[1], atol=0.02)
    assert geometry[0] > geometry[1] + 0.1


def test_weights_add_and_none_gives_nothing():
    parts = [score([RIGHT], Weights(*w)) for w in ((2, 0, 0), (0, 3, 0), (0, 0, 4))]
    assert torch.allclose(score([RIGHT], Weights(2, 3, 4)), sum(parts), atol=1e-5)
    assert score([RIGHT], Weights(0, 0, 0)).abs().max() == 0


def test_each_picture_has_its_own_graph():
    other = SceneGraph((SceneObject("circle", ("red",), SQUARE.box), SceneObject("square", ("blue",), CIRCLE.box)))
    mine, theirs = score([RIGHT, RIGHT], Weights(), [GRAPH, other])
    assert mine > theirs + 0.1
    assert torch.allclose(theirs, score([RIGHT], Weights(), [other])[0], atol=1e-5)


def test_a_graph_of_one_object_has_no_relations_to_score():
    alone = SceneGraph((CIRCLE,))
    assert torch.allclose(score([RIGHT], Weights(1, 5, 0), [alone]), score([RIGHT], Weights(1, 0, 0), [alone]))


def test_an_object_without_a_box_is_named():
    with pytest.raises(SceneGraphError, match="blue square: without a box there is no place to look at"):
        GraphObjective([SceneGraph((CIRCLE, SceneObject("square", ("blue",))))], embed, Weights())


def test_other_places_are_as_large_within_the_picture_and_hardly_overlap():
    (places,) = other_places(torch.tensor([[0.1, 0.1, 0.4, 0.3]]))
    assert len(places) > 4 and places.min() >= 0 and places.max() <= 1
    assert torch.allclose(places[:, 2:] - places[:, :2], torch.tensor([0.3, 0.2]).expand(len(places), 2))
    assert overlaps(places, torch.tensor([0.1, 0.1, 0.4, 0.3])).max() < 0.3


def test_windows_are_larger_than_boxes_and_stay_inside():
    boxes = graph_boxes(GRAPH)
    assert torch.allclose(around(boxes, 1.0), boxes)
    assert torch.allclose(around(boxes, 2.0)[0], torch.tensor([0.0, 0.0, 0.475, 0.475]))
    assert hulls(boxes[:1], boxes[1:]).tolist() == [pytest.approx([0.1, 0.1, 0.9, 0.9])]


def test_cut_out_pixels_are_means_of_what_they_cover():
    picture = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert torch.allclose(cut_out(picture, torch.tensor([[0.0, 0, 1, 1]]), [0], 4), F.avg_pool2d(picture, 2), atol=0.6)
    right = cut_out(picture, torch.tensor([[0.5, 0.5, 1.0, 1.0]]), [0], 1)
    assert right.item() == pytest.approx(picture[0, 0, 4:, 4:].mean().item(), abs=0.6)
