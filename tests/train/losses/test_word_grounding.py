"""Which words act where: places belong to what is in front, and only reading another object's words costs."""

import pytest
import torch

from train.losses.word_grounding import grounding_loss, place_owners

SIDE = 4
BOXES = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.25, 0.25, 0.5, 0.5], [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
GRAPH_OF = torch.tensor([0, 0, 1, 1])  # one inside another, and two beside each other
WORDS = torch.tensor([[-1, 0, 1, -1], [-1, 2, 3, -1]])
OWNERS = place_owners(BOXES, GRAPH_OF, 2, SIDE)


def reading(tokens: torch.Tensor, rest: float = 0.2) -> torch.Tensor:
    """Maps [2, SIDE², 4] that read one token at each place, and with a share of `rest` the first and the last."""
    shares = torch.full((2, SIDE**2, 4), 1e-4)
    shares[..., [0, 3]] = rest / 2
    return shares.scatter(2, tokens.flatten(1)[..., None], 1 - rest)


def test_the_smallest_object_is_in_front():
    assert OWNERS[0].tolist() == [[0] * 4, [0, 1, 0, 0], [0] * 4, [0] * 4]
    assert OWNERS[1].tolist() == [[2, 2, 3, 3]] * 4
    assert (place_owners(BOXES[1:2], GRAPH_OF[:1], 2, SIDE)[1] == -1).all()


def test_reading_the_right_words_costs_nothing_and_others_much():
    right = torch.where(OWNERS == torch.tensor([0, 2])[:, None, None], 1, 2)
    assert grounding_loss([reading(right)], WORDS, BOXES, GRAPH_OF) < 1e-3
    assert grounding_loss([reading(right, rest=0.9)], WORDS, BOXES, GRAPH_OF) < 1e-2  # words of no object are free
    assert grounding_loss([reading(3 - right)], WORDS, BOXES, GRAPH_OF) > 3


def test_a_small_object_counts_as_much_as_a_large_one():
    """To be wrong at the inner one's only place costs what it costs at all fifteen of the outer one."""
    right = torch.where(OWNERS == torch.tensor([0, 2])[:, None, None], 1, 2)
    inner, outer = right.clone(), right.clone()
    inner[0, 1, 1] = 1
    outer[0, OWNERS[0] == 0] = 2
    one, other = (grounding_loss([reading(wrong)], WORDS, BOXES, GRAPH_OF) for wrong in (inner, outer))
    assert one.item() == pytest.approx(other.item(), rel=1e-3)


def test_it_has_a_gradient_and_captions_that_name_nothing_have_none():
    logits = torch.randn(2, SIDE**2, 4, requires_grad=True)
    loss = grounding_loss([logits.softmax(dim=-1)] * 2, WORDS, BOXES, GRAPH_OF)
    assert loss.item() == pytest.approx(grounding_loss([logits.softmax(dim=-1)], WORDS, BOXES, GRAPH_OF).item())
    loss.backward()
    assert logits.grad.abs().sum() > 0
    unnamed = torch.full_like(WORDS, -1)
    assert grounding_loss([logits.softmax(dim=-1)], unnamed, BOXES, GRAPH_OF) == 0
    half = torch.where(torch.tensor([[True], [False]]), WORDS, -1)
    logits.grad = None
    grounding_loss([logits.softmax(dim=-1)], half, BOXES, GRAPH_OF).backward()
    assert logits.grad[0].abs().sum() > 0 and not logits.grad[1].any()
