"""What predicted boxes are trained on: nothing to pay for true boxes, and something for every way to be wrong."""

import pytest
import torch
from torch import Tensor

from sg_models.layers.graph_batch import UNKNOWN_RELATION, GraphBatch, Targets
from train.data.graph_samples import spatial_place
from train.data.shapes.scene import scene, seeds
from train.data.spatial_relations import ABOVE, BELOW, INSIDE, LEFT, RELATIONS, RIGHT, SURROUNDING, spatial_relation
from train.losses.layout_losses import GAP, box_loss, distance_loss, overlap_loss, relation_loss, share_obeying


def boxes(*edges: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(edges)


PLACE = {name: place for place, name in enumerate(RELATIONS)}


def batch_of(true: Tensor, edge_index: Tensor, spatial: Tensor, graph_of: Tensor) -> GraphBatch:
    """A batch of which losses read boxes and relations alone."""
    nothing = torch.zeros(len(true), 0)
    given, instance = torch.zeros(len(true), dtype=torch.bool), torch.arange(len(true))
    edge_attr, count = torch.zeros(edge_index.shape[1], 0), int(graph_of.max()) + 1
    targets = Targets(true, spatial)
    return GraphBatch(nothing, edge_attr, edge_index, true, given, instance, graph_of, count, targets)


def loss_of(relation: str, subject: tuple, object_: tuple) -> float:
    position = torch.tensor([RELATIONS.index(relation)])
    return relation_loss(boxes(subject, object_), torch.tensor([[0], [1]]), position).item()


WEST, EAST = (0.1, 0.4, 0.3, 0.6), (0.7, 0.4, 0.9, 0.6)
NORTH, SOUTH = (0.4, 0.1, 0.6, 0.3), (0.4, 0.7, 0.6, 0.9)
OUTER, INNER = (0.2, 0.2, 0.8, 0.8), (0.4, 0.4, 0.6, 0.6)


@pytest.mark.parametrize(
    ("relation", "subject", "object_"),
    [
        (LEFT, WEST, EAST),
        (RIGHT, EAST, WEST),
        (ABOVE, NORTH, SOUTH),
        (BELOW, SOUTH, NORTH),
        (INSIDE, INNER, OUTER),
        (SURROUNDING, OUTER, INNER),
    ],
)
def test_a_relation_that_holds_costs_nothing_and_its_opposite_does(relation: str, subject: tuple, object_: tuple):
    assert spatial_relation(subject, object_) == relation
    assert loss_of(relation, subject, object_) == 0
    assert loss_of(relation, object_, subject) > 0
    others = [loss_of(other, subject, object_) for other in RELATIONS if other != relation]
    assert min(others) > 0


def test_a_direction_across_the_other_one_does_not_hold():
    assert loss_of(LEFT, WEST, (0.4, 0.8, 0.6, 1.0)) > 0  # further down than to the right


def test_the_gradient_moves_a_box_to_where_it_belongs():
    placed = boxes(EAST, WEST).requires_grad_()
    relation_loss(placed, torch.tensor([[0], [1]]), torch.tensor([RELATIONS.index(LEFT)])).backward()
    assert placed.grad is not None
    step = -placed.grad
    assert (step[0, [0, 2]] < 0).all() and (step[1, [0, 2]] > 0).all()


def test_no_relation_costs_nothing():
    none = torch.zeros(0, dtype=torch.long)
    assert relation_loss(boxes(WEST), torch.zeros(2, 0, dtype=torch.long), none) == 0


def test_boxes_on_each_other_cost_unless_the_graph_nests_them_or_they_are_of_two_graphs():
    placed, one, none = boxes(OUTER, INNER), torch.tensor([0, 0]), torch.zeros(2, 0, dtype=torch.long)
    empty = torch.zeros(0, dtype=torch.long)
    assert overlap_loss(placed, none, empty, one) > 0
    assert overlap_loss(placed, none, empty, torch.tensor([0, 1])) == 0
    nested = torch.tensor([[1], [0]]), torch.tensor([RELATIONS.index(INSIDE)])
    assert overlap_loss(placed, *nested, one) == 0
    beside = torch.tensor([[1], [0]]), torch.tensor([RELATIONS.index(LEFT)])
    assert overlap_loss(placed, *beside, one) > 0


@pytest.mark.parametrize(("distance", "costs"), [(GAP + 0.01, False), (GAP - 0.01, True)])
def test_a_gap_is_kept(distance: float, costs: bool):
    placed = boxes((0.1, 0.1, 0.3, 0.3), (0.3 + distance, 0.1, 0.6, 0.3))
    none = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    assert (overlap_loss(placed, *none, torch.tensor([0, 0])) > 0) == costs


def test_true_boxes_hardly_cost_anything():
    for seed in seeds("val", 40):
        graph = scene(seed).graph
        true = torch.tensor([thing.box for thing in graph.objects])
        edges = torch.tensor([[r.subject, r.object] for r in graph.relations]).reshape(-1, 2).T
        relation = torch.tensor([RELATIONS.index(r.predicate) for r in graph.relations], dtype=torch.long)
        assert distance_loss(true, true).item() == pytest.approx(0, abs=1e-5)
        assert relation_loss(true, edges, relation) < 0.01  # centroids, not centres, decide in Shapes
        assert overlap_loss(true, edges, relation, torch.zeros(len(true), dtype=torch.long)) < 0.01


def test_a_layout_obeys_its_graph_only_if_all_relations_hold():
    edges, relation = (
        torch.tensor([[0, 2, 2], [1, 3, 4]]),
        torch.tensor([PLACE[name] for name in (LEFT, INSIDE, ABOVE)]),
    )
    graphs = batch_of(torch.zeros(5, 4), edges, relation, torch.tensor([0, 0, 1, 1, 1]))
    assert share_obeying(boxes(WEST, EAST, INNER, OUTER, SOUTH), graphs) == 1.0
    assert share_obeying(boxes(WEST, EAST, INNER, OUTER, NORTH), graphs) == 0.5
    assert share_obeying(boxes(EAST, WEST, INNER, OUTER, NORTH), graphs) == 0.0


def test_a_predicate_that_is_not_spatial_is_no_part_of_any_loss():
    edges, both = torch.tensor([[0, 1], [1, 0]]), torch.tensor([PLACE[LEFT], UNKNOWN_RELATION])
    placed, graph_of = boxes(WEST, EAST), torch.tensor([0, 0])
    assert relation_loss(placed, edges, both) == relation_loss(placed, edges[:, :1], both[:1])
    assert overlap_loss(placed, edges, both, graph_of) == overlap_loss(placed, edges[:, :1], both[:1], graph_of)
    assert relation_loss(placed, edges[:, 1:], both[1:]) == 0
    assert share_obeying(placed, batch_of(placed, edges, both, graph_of)) == 1.0
    said = (LEFT, "to the left of", "riding")
    assert [spatial_place(name) for name in said] == [PLACE[LEFT], PLACE[LEFT], UNKNOWN_RELATION]


def test_a_wrong_size_costs_more_than_a_wrong_place():
    true, moved, grown = boxes((0.4, 0.4, 0.6, 0.6)), boxes((0.5, 0.5, 0.7, 0.7)), boxes((0.3, 0.3, 0.7, 0.7))
    assert distance_loss(grown, true) > 5 * distance_loss(moved, true) > 0


def test_the_loss_of_a_layout_counts_relations_and_overlap_beside_the_true_boxes():
    nested = torch.tensor([[1], [0]]), torch.tensor([RELATIONS.index(INSIDE)])
    beside = torch.tensor([[1], [0]]), torch.tensor([RELATIONS.index(LEFT)])
    for (edges, relation), free in ((nested, True), (beside, False)):
        placed, batch = boxes(OUTER, INNER), torch.tensor([0, 0])
        graphs = batch_of(placed, edges, relation, batch)
        parts = relation_loss(placed, edges, relation), overlap_loss(placed, edges, relation, batch)
        assert (box_loss(placed, graphs) < 1e-6) == free
        assert all((part == 0) == free for part in parts)
        assert box_loss(placed, graphs) >= sum(parts)
