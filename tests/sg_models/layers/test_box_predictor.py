"""Predicted boxes: inside the picture, apart for equal objects, and around the boxes that are given."""

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from sg_models.layers.box_predictor import MIN_SIDE, BoxPredictor, pairs_within

DIM, COUNT = 8, 6


def predictor(seed: int = 0) -> BoxPredictor:
    torch.manual_seed(seed)
    return BoxPredictor(DIM, 12, 2, COUNT)


def graph(objects: int, pairs: list[tuple[int, int]] = (), boxes: dict[int, list[float]] | None = None) -> Data:
    boxes = boxes or {}
    return Data(
        x=torch.randn(objects, DIM, generator=torch.Generator().manual_seed(objects)),
        edge_attr=torch.randn(len(pairs), DIM, generator=torch.Generator().manual_seed(7)),
        edge_index=torch.tensor(list(pairs), dtype=torch.long).reshape(-1, 2).t().contiguous(),
        box=torch.tensor([boxes.get(i, [0.0] * 4) for i in range(objects)]),
        has_box=torch.tensor([i in boxes for i in range(objects)]),
        instance=torch.arange(objects),
    )


@torch.no_grad()
def boxes_of(made: BoxPredictor, *graphs: Data) -> Tensor:
    batch = Batch.from_data_list(list(graphs))
    return made(batch.x, batch.edge_attr, batch)


@pytest.mark.parametrize("scale", [1.0, 1e3, -1e3])
def test_boxes_lie_in_the_picture_and_are_no_lines(scale: float):
    made, given = predictor(), graph(5, [(0, 1), (2, 3)])
    given.x *= scale
    x0, y0, x1, y1 = boxes_of(made, given).unbind(-1)
    for start, end in ((x0, x1), (y0, y1)):
        assert start.min() >= 0 and end.max() <= 1 + 1e-6
        assert (end - start).min() >= MIN_SIDE - 1e-6


def test_a_batch_equals_one_by_one():
    made = predictor()
    graphs = [graph(3, [(0, 1), (2, 1)]), graph(1), graph(4, [(3, 0)], {1: [0.1, 0.1, 0.4, 0.4]})]
    alone = torch.cat([boxes_of(made, g) for g in graphs])
    torch.testing.assert_close(boxes_of(made, *graphs), alone, atol=1e-6, rtol=1e-5)


def test_two_equal_objects_without_relations_get_two_places():
    given = graph(2)
    given.x[1] = given.x[0]
    first, second = boxes_of(predictor(), given)
    assert not torch.allclose(first, second, atol=1e-3)


def test_relations_and_their_direction_matter():
    made = predictor()
    none, forwards, backwards = (boxes_of(made, graph(3, pairs)) for pairs in ([], [(0, 1)], [(1, 0)]))
    assert not torch.allclose(none, forwards, atol=1e-4)
    assert not torch.allclose(forwards, backwards, atol=1e-4)


def test_a_given_box_moves_the_others_even_without_a_relation():
    made = predictor()
    here, there = (boxes_of(made, graph(2, boxes={0: box})) for box in ([0.0, 0.0, 0.3, 0.3], [0.6, 0.6, 1.0, 1.0]))
    assert not torch.allclose(here[1], there[1], atol=1e-4)


def test_what_stands_in_place_of_a_box_that_is_not_given_is_not_looked_at():
    made, given, other = predictor(), graph(2), graph(2)
    other.box.fill_(0.7)
    assert torch.equal(boxes_of(made, given), boxes_of(made, other))


def test_pairs_stay_within_their_graph():
    assert pairs_within(torch.tensor([0, 0, 1, 2, 2])).T.tolist() == [[0, 1], [1, 0], [3, 4], [4, 3]]
    assert pairs_within(torch.tensor([0])).shape == (2, 0)


def test_every_parameter_learns():
    made, batch = predictor(), Batch.from_data_list([graph(3, [(0, 1)], {2: [0.2, 0.3, 0.5, 0.6]})])
    made(batch.x, batch.edge_attr, batch).square().sum().backward()
    still = {name for name, p in made.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert still == set()
