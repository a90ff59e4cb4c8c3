"""Scene layout: composition against a reference in plain loops, boxes that are boxes, and who wins."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sg_models.layers.layout import MASK_SIDE, LayoutPredictor, compose, warp

DIM, PHRASE_DIM, WIDTH, CHANNELS = 6, 5, 16, 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def some_boxes(count: int, seed: int = 1) -> Tensor:
    start = random(count, 2, seed=seed) * 0.6
    return torch.cat([start, start + 0.1 + random(count, 2, seed=seed + 1) * 0.3], dim=1)


def mask_value(mask: Tensor, u: float, v: float) -> float:
    """A mask bilinearly at (u, v) in [0, 1] of its box, zero beyond its outer cells."""
    side = mask.shape[0]
    column, row = u * side - 0.5, v * side - 0.5
    x, y = int(column // 1), int(row // 1)
    total = 0.0
    for j, wy in ((y, 1 - (row - y)), (y + 1, row - y)):
        for i, wx in ((x, 1 - (column - x)), (x + 1, column - x)):
            if 0 <= i < side and 0 <= j < side:
                total += wx * wy * mask[j, i].item()
    return total


def composed_by_hand(features: Tensor, boxes: Tensor, masks: Tensor, graph_of: list[int], count: int, size):
    """One object, one cell at a time."""
    height, width = size
    result = torch.zeros(count, features.shape[1], height, width)
    for o, graph in enumerate(graph_of):
        x0, y0, x1, y1 = boxes[o].tolist()
        for row in range(height):
            for column in range(width):
                u = ((column + 0.5) / width - x0) / (x1 - x0)
                v = ((row + 0.5) / height - y0) / (y1 - y0)
                result[graph, :, row, column] += features[o] * mask_value(masks[o], u, v)
    return result


@pytest.mark.parametrize("size", [(8, 8), (5, 9)])
def test_composition_is_the_sum_over_objects_and_cells(size: tuple[int, int]):
    graph_of = [0, 0, 1, 2, 2, 2]
    features, masks, boxes = random(6, DIM), random(6, MASK_SIDE, MASK_SIDE, seed=3), some_boxes(6)
    got = compose(features, boxes, masks, torch.tensor(graph_of), 3, size)
    torch.testing.assert_close(got, composed_by_hand(features, boxes, masks, graph_of, 3, size), atol=1e-5, rtol=1e-4)


def test_a_mask_lies_in_its_box_and_nowhere_else():
    warped = warp(torch.ones(1, MASK_SIDE, MASK_SIDE), torch.tensor([[0.5, 0.25, 1.0, 0.75]]), (16, 16))[0]
    expected = torch.zeros(16, 16)
    expected[4:12, 8:] = 1  # rows are y, columns are x
    torch.testing.assert_close(warped, expected)


def test_a_graph_without_a_neighbour_is_the_same_in_a_batch():
    features, masks, boxes = random(3, DIM), random(3, MASK_SIDE, MASK_SIDE), some_boxes(3)
    both = compose(features, boxes, masks, torch.tensor([0, 1, 1]), 2, (8, 8))
    alone = compose(features[1:], boxes[1:], masks[1:], torch.tensor([0, 0]), 1, (8, 8))
    torch.testing.assert_close(both[1:], alone)


@pytest.fixture
def predictor() -> LayoutPredictor:
    torch.manual_seed(0)
    return LayoutPredictor(DIM, 12, 2, 6, PHRASE_DIM, WIDTH, CHANNELS)


def graphs(given_boxes: Tensor, has_box: list[bool], graph_of: list[int]) -> SimpleNamespace:
    """Graphs of three objects together, the first two of them related."""
    return SimpleNamespace(
        box=given_boxes,
        has_box=torch.tensor(has_box),
        batch=torch.tensor(graph_of),
        num_graphs=max(graph_of) + 1,
        instance=torch.tensor([0, 1, 0]),
        edge_index=torch.tensor([[0], [1]]),
    )


def test_given_boxes_win_object_by_object(predictor: LayoutPredictor):
    objects, relations, boxes = torch.randn(3, DIM), torch.randn(1, DIM), some_boxes(3)
    data = graphs(boxes, [False, True, False], [0, 0, 1])
    predicted = predictor.box(objects, relations, data)
    layout = predictor(objects, relations, data, (8, 8))
    torch.testing.assert_close(layout.boxes[1], boxes[1])
    torch.testing.assert_close(layout.boxes[[0, 2]], predicted[[0, 2]])
    assert not torch.allclose(predicted[1], boxes[1], atol=1e-3)


def test_shapes_of_a_layout(predictor: LayoutPredictor):
    layout = predictor(torch.randn(3, DIM), torch.randn(1, DIM), graphs(some_boxes(3), [False] * 3, [0, 0, 1]), (8, 12))
    assert layout.masks.shape == (3, MASK_SIDE, MASK_SIDE) and 0 <= layout.masks.min() <= layout.masks.max() <= 1
    assert layout.control.shape == (2, CHANNELS, 8, 12) and layout.semantics.shape == (2, WIDTH, 8, 12)
    fits, background = predictor.object_logits(layout.semantics, torch.randn(3, PHRASE_DIM), torch.tensor([0, 0, 1]))
    assert fits.shape == (3, 8, 12) and background.shape == (2, 8, 12)


def test_every_parameter_learns(predictor: LayoutPredictor):
    layout = predictor(
        torch.randn(3, DIM), torch.randn(1, DIM), graphs(some_boxes(3), [True, False, False], [0, 0, 1]), (8, 8)
    )
    fits, background = predictor.object_logits(layout.semantics, torch.randn(3, PHRASE_DIM), torch.tensor([0, 0, 1]))
    (fits.square().sum() + (background - 1).square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in predictor.parameters())
