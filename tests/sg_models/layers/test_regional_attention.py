"""Regional cross-attention against its formula, cell by cell."""

import pytest
import torch
from einops import repeat
from torch import nn

from sg_models.layers.regional_attention import mix_regions, region_weights, regional_attention

LEFT, RIGHT, WHOLE, NOTHING = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0)
WIDTH, HEADS, TOKENS, PROMPT = 16, 2, 5, 12
FINE = 16  # samples of a cell along an axis


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor([rows])


def sampled_weights(box_list: list[tuple], size: tuple[int, int], base_weight: float) -> torch.Tensor:
    """The weights by their words: who owns each of many points of a cell: [1 + R, h·w]."""
    height, width = size
    owners = torch.zeros(1 + len(box_list), height, width)
    smallest_first = sorted(range(len(box_list)), key=lambda r: (box_list[r][2] - box_list[r][0]) * box_list[r][3])
    for row in range(height * FINE):
        for column in range(width * FINE):
            x, y = (column + 0.5) / (width * FINE), (row + 0.5) / (height * FINE)
            inside = (r for r in smallest_first if in_box(x, y, box_list[r]))
            owners[1 + next(inside, -1), row // FINE, column // FINE] += 1 / FINE**2
    owners[1:] *= 1 - base_weight
    owners[0] = 1 - owners[1:].sum(dim=0)
    return owners.flatten(1)


def in_box(x: float, y: float, box: tuple) -> bool:
    x0, y0, x1, y1 = box
    return x0 <= x < x1 and y0 <= y < y1


@pytest.mark.parametrize("base_weight", [0.0, 0.3])
@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
def test_weights_are_who_owns_the_points_of_a_cell(size, base_weight):
    # one in another, listed the other way round, one apart and small, all with their upper edge at 0
    listed = [(0.0, 0.0, 1.0, 0.9), (0.25, 0.0, 0.75, 0.5), (0.125, 0.0, 0.2, 0.25)]
    weights = region_weights(boxes(*listed), size, base_weight)
    torch.testing.assert_close(weights[0], sampled_weights(listed, size, base_weight), atol=3e-2, rtol=0.0)


def test_a_cell_between_two_boxes_is_shared():
    weights = region_weights(boxes((0.0, 0.0, 0.6, 1.0), (0.6, 0.0, 1.0, 1.0)), (1, 2))
    torch.testing.assert_close(weights[0], torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.0, 0.8]]))


def test_a_box_far_smaller_than_a_cell_has_its_part():
    weights = region_weights(boxes((0.5, 0.5, 0.52, 0.52)), (8, 8))
    assert weights[0, 1].sum().item() == pytest.approx((0.02 * 8) ** 2, rel=1e-4)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_weights_of_a_cell_sum_to_one_whatever_covers_it(strength):
    corners = torch.rand(3, 9, 2, 2, generator=torch.Generator().manual_seed(1)).sort(dim=2).values
    places = torch.cat([corners[:, :, 0], corners[:, :, 1]], dim=-1)
    weights = region_weights(places, (7, 5), 0.2, strength)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, 35))
    if strength <= 1:
        assert weights.min() >= 0


def test_strength_0_is_the_prompt_alone_and_2_is_twice_the_way():
    plain, doubled = (region_weights(boxes(LEFT, RIGHT), (4, 4), 0.3, strength) for strength in (0.0, 2.0))
    assert (plain[:, 0] == 1).all() and (plain[:, 1:] == 0).all()
    torch.testing.assert_close(doubled[:, 1:], 2 * region_weights(boxes(LEFT, RIGHT), (4, 4), 0.3)[:, 1:])


def test_of_equal_boxes_the_first_wins_and_padding_has_nothing():
    weights = region_weights(boxes(NOTHING, LEFT, LEFT, NOTHING), (2, 2))
    assert weights[0, 2].tolist() == [1, 0, 1, 0]
    assert weights[0, [1, 3, 4]].abs().sum() == 0


@pytest.mark.parametrize("size", [(8, 8), (4, 4), (4, 2)])
def test_a_mask_of_a_box_is_the_box(size):
    listed = [(0.0, 0.0, 0.75, 1.0), (0.25, 0.25, 0.5, 0.75)]
    masks = torch.zeros(1, 2, 16, 16)
    for mask, (x0, y0, x1, y1) in zip(masks[0], listed, strict=True):
        mask[int(16 * y0) : int(16 * y1), int(16 * x0) : int(16 * x1)] = 1
    torch.testing.assert_close(region_weights(masks, size, 0.1), region_weights(boxes(*listed), size, 0.1))


@pytest.fixture
def layer() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "to_q": nn.Linear(WIDTH, WIDTH, bias=False),
            "to_k": nn.Linear(PROMPT, WIDTH, bias=False),
            "to_v": nn.Linear(PROMPT, WIDTH, bias=False),
            "to_out": nn.Linear(WIDTH, WIDTH),
        }
    ).requires_grad_(False)


def attend(layer: nn.ModuleDict, x: torch.Tensor, contexts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return layer["to_out"](regional_attention(layer["to_q"](x), contexts, weights, layer["to_k"], layer["to_v"], HEADS))


def by_formula(layer: nn.ModuleDict, x: torch.Tensor, contexts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cell by cell, context by context, head by head."""
    out = torch.zeros_like(x)
    per_head = WIDTH // HEADS
    for b, n in torch.cartesian_prod(torch.arange(len(x)), torch.arange(x.shape[1])).tolist():
        q, mixed = layer["to_q"](x[b, n]), torch.zeros(WIDTH)
        for context, weight in zip(contexts[b], weights[b, :, n], strict=True):
            k, v = layer["to_k"](context), layer["to_v"](context)
            for head in (slice(h * per_head, (h + 1) * per_head) for h in range(HEADS)):
                scores = (k[:, head] @ q[head] / per_head**0.5).softmax(dim=0)
                mixed[head] += weight * (scores @ v[:, head])
        out[b, n] = layer["to_out"](mixed)
    return out


def test_attention_is_its_formula(layer):
    x, contexts = torch.randn(2, 8, WIDTH), torch.randn(2, 3, TOKENS, PROMPT)
    places = torch.tensor([[LEFT, (0.3, 0.2, 0.9, 0.8)], [RIGHT, NOTHING]])
    weights = region_weights(places, (2, 4), 0.3)
    torch.testing.assert_close(attend(layer, x, contexts, weights), by_formula(layer, x, contexts, weights))


def test_one_region_over_all_is_its_phrase_as_the_prompt(layer):
    x, contexts = torch.randn(1, 8, WIDTH), torch.randn(1, 2, TOKENS, PROMPT)
    regional = attend(layer, x, contexts, region_weights(boxes(WHOLE), (2, 4)))
    plain = attend(layer, x, contexts[:, 1:], torch.ones(1, 1, 8))
    torch.testing.assert_close(regional, plain)
    assert (regional - attend(layer, x, contexts[:, :1], torch.ones(1, 1, 8))).abs().max() > 1e-2


def test_two_halves_swapped_are_the_picture_swapped(layer):
    x = repeat(torch.randn(1, 1, WIDTH), "1 1 c -> 1 8 c")  # all cells alike: only the words tell them apart
    contexts = torch.randn(1, 3, TOKENS, PROMPT)
    one, other = (
        attend(layer, x, contexts, region_weights(boxes(*halves), (2, 4))).unflatten(1, (2, 4))
        for halves in ((LEFT, RIGHT), (RIGHT, LEFT))
    )
    torch.testing.assert_close(one, other.roll(2, dims=2))
    assert (one - other).abs().max() > 1e-2


def test_each_picture_of_a_batch_has_its_own_regions(layer):
    x, contexts = torch.randn(2, 8, WIDTH), torch.randn(2, 3, TOKENS, PROMPT)
    weights = region_weights(torch.tensor([[LEFT, RIGHT], [RIGHT, NOTHING]]), (2, 4), 0.3)
    together = attend(layer, x, contexts, weights)
    apart = [attend(layer, x[i : i + 1], contexts[i : i + 1], weights[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_what_has_no_weight_has_no_say():
    attended = torch.randn(1, 2, 4, WIDTH)
    weights = region_weights(boxes(LEFT), (2, 2))
    torch.testing.assert_close(mix_regions(attended, weights)[:, [0, 2]], attended[:, 1, [0, 2]])
    torch.testing.assert_close(mix_regions(attended, weights)[:, [1, 3]], attended[:, 0, [1, 3]])
