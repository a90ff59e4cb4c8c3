"""Gated self-attention: GLIGEN's formula, identity before training, and nothing that leaks."""

import math
import sys

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention import GatedSelfAttentionDense
from torch import Tensor

from sg_models.layers.gated_attention import (
    TOKEN_EXTRAS,
    GatedSelfAttention,
    GatedSelfAttentionBlocks,
    Grounding,
    attention_mask,
    cells_in_boxes,
    scaled_dot_product_attention,
    visual_size,
)

WIDTH, TOKEN_DIM, HEADS, TOKENS = 32, 12, 4, 5
SIZE = (4, 6)
EVERYWHERE = (0.0, 0.0, 1.0, 1.0)


def layer(position_frequencies: int = 0, gates: tuple[float, float] | None = (0.7, -0.4), **host) -> GatedSelfAttention:
    torch.manual_seed(0)
    made = GatedSelfAttention(WIDTH, TOKEN_DIM, HEADS, position_frequencies, **host)
    with torch.no_grad():
        for norm in (made.norm1, made.norm2):  # away from the identity that they start as
            norm.weight.normal_(1, 0.2)
            norm.bias.normal_(0, 0.2)
        if gates:
            made.alpha_attn.fill_(gates[0])
            made.alpha_dense.fill_(gates[1])
    return made


def visual(batch: int = 2, size: tuple[int, int] = SIZE, seed: int = 1) -> Tensor:
    return torch.randn(batch, size[0] * size[1], WIDTH, generator=torch.Generator().manual_seed(seed))


def tokens(batch: int = 2, valid: int = TOKENS, seed: int = 2) -> Tensor:
    content = torch.randn(batch, TOKENS, TOKEN_DIM, generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(TOKENS) < valid).float().expand(batch, -1)[..., None]
    return torch.cat([content, torch.tensor(EVERYWHERE).expand(batch, TOKENS, -1), mask], dim=-1)


def in_boxes(given: Tensor, boxes: list[list[float]]) -> Tensor:
    """The same tokens, the first ones seen in these boxes alone."""
    given = given.clone()
    given[:, : len(boxes), -TOKEN_EXTRAS:-1] = torch.tensor(boxes)
    return given


def by_hand(made: GatedSelfAttention, x: Tensor, given: Tensor, strength: float, positions: Tensor | None) -> Tensor:
    """Equation 8 of GLIGEN in plain steps, one row and one head at a time over valid tokens of the whole picture."""
    rows = []
    for row, row_tokens in zip(x, given, strict=True):
        grounding = row_tokens[row_tokens[:, -1] == 1][:, :-TOKEN_EXTRAS] @ made.linear.weight.T + made.linear.bias
        count = len(row)
        context = F.layer_norm(torch.cat([row, grounding]), (WIDTH,), made.norm1.weight, made.norm1.bias)
        if positions is not None:
            context = torch.cat([context[:count] + positions, context[count:]])
        q, k, v = (context @ part.weight.T for part in (made.attn.to_q, made.attn.to_k, made.attn.to_v))
        heads = []
        for head in range(HEADS):
            part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            scores = q[:count, part] @ k[:, part].T / math.sqrt(WIDTH // HEADS)
            heads.append(scores.softmax(dim=-1) @ v[:, part])
        out = made.attn.to_out[0]
        row = row + strength * math.tanh(made.alpha_attn.item()) * (torch.cat(heads, -1) @ out.weight.T + out.bias)
        hidden = F.layer_norm(row, (WIDTH,), made.norm2.weight, made.norm2.bias)
        first, last = made.ff.net[0].proj, made.ff.net[2]
        value, gate = (hidden @ first.weight.T + first.bias).chunk(2, dim=-1)
        dense = (value * F.gelu(gate)) @ last.weight.T + last.bias
        rows.append(row + strength * math.tanh(made.alpha_dense.item()) * dense)
    return torch.stack(rows)


@pytest.mark.parametrize("frequencies", [0, 8])
def test_an_untrained_layer_leaves_x_bit_for_bit(frequencies: int):
    made, x = layer(frequencies, gates=None), visual()
    assert torch.equal(made(x, Grounding(tokens()), SIZE), x)


@pytest.mark.parametrize("strength", [1.0, 0.35])
@pytest.mark.parametrize("valid", [TOKENS, 2])
def test_equals_gligens_formula(strength: float, valid: int):
    made, x, given = layer(), visual(), tokens(valid=valid)
    with torch.no_grad():
        expected = by_hand(made, x, given, strength, None)
        torch.testing.assert_close(made(x, Grounding(given), SIZE, strength), expected, atol=2e-5, rtol=1e-5)


def test_equals_diffusers_layer_under_the_same_names():
    made, x, given = layer(), visual(), tokens()
    theirs = GatedSelfAttentionDense(WIDTH, TOKEN_DIM, HEADS, WIDTH // HEADS)
    theirs.load_state_dict(made.state_dict())  # strict: GLIGEN's own names
    with torch.no_grad():
        expected = theirs(x, given[..., :-TOKEN_EXTRAS])
        torch.testing.assert_close(made(x, Grounding(given), SIZE), expected, atol=2e-5, rtol=1e-5)


def test_positions_are_row_and_column_of_the_centre():
    frequencies = 3
    made, x, given = layer(frequencies), visual(), tokens()
    height, width = SIZE
    features = []
    for row in range(height):
        for column in range(width):
            here = []
            for centre in ((row + 0.5) / height, (column + 0.5) / width):
                angles = [centre * 100 ** (i / frequencies) for i in range(frequencies)]
                here += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            features.append(here)
    with torch.no_grad():
        positions = torch.tensor(features) @ made.position.weight.T + made.position.bias
        expected = by_hand(made, x, given, 1.0, positions)
        torch.testing.assert_close(made(x, Grounding(given), SIZE), expected, atol=2e-5, rtol=1e-5)


def test_the_size_matters_where_positions_are_known():
    made, x, given = layer(8), visual(), tokens()
    assert not torch.allclose(made(x, Grounding(given), (4, 6)), made(x, Grounding(given), (6, 4)), atol=1e-4)


@pytest.mark.parametrize("content", [0.0, 1.0, -300.0, 1e4])
def test_padding_changes_nothing_whatever_it_holds(content: float):
    made, x, given = layer(), visual(), tokens()
    padding = torch.full((2, 7, TOKEN_DIM + TOKEN_EXTRAS), content)
    padding[..., -1] = 0
    with torch.no_grad():
        padded = made(x, Grounding(torch.cat([given, padding], dim=1)), SIZE)
        torch.testing.assert_close(padded, made(x, Grounding(given), SIZE), atol=1e-6, rtol=1e-6)


def test_padding_gets_no_gradient():
    made, given = layer(), tokens(valid=2).requires_grad_()
    made(visual(), Grounding(given), SIZE).square().sum().backward()
    assert given.grad is not None
    content = given.grad[..., :-TOKEN_EXTRAS]
    assert content[:, :2].abs().min() > 0
    assert content[:, 2:].abs().max() == 0


def test_a_token_is_seen_from_inside_its_box_alone():
    made, x = layer(), visual()
    boxes = [[0.5, 0.25, 1.0, 0.75]]  # of 4 × 6 cells: rows 1 and 2, columns 3 to 5
    given, other = in_boxes(tokens(), boxes), in_boxes(tokens(), boxes)
    other[:, 0, :TOKEN_DIM] += 3.0
    changed = (made(x, Grounding(given), SIZE) - made(x, Grounding(other), SIZE)).abs().amax(dim=-1).reshape(2, *SIZE)
    inside = torch.zeros(SIZE, dtype=torch.bool)
    inside[1:3, 3:] = True
    assert changed[:, inside].min() > 1e-4
    assert changed[:, ~inside].max() == 0


def test_the_same_token_in_another_box_is_seen_elsewhere():
    made, x = layer(), visual()
    left, right = [[0.0, 0.0, 0.4, 1.0]], [[0.6, 0.0, 1.0, 1.0]]
    on_left, on_right = (made(x, Grounding(in_boxes(tokens(), box)), SIZE) for box in (left, right))
    assert not torch.allclose(on_left, on_right)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ([0.0, 0.0, 1.0, 1.0], range(4), range(6)),
        ([0.0, 0.0, 0.5, 0.25], range(1), range(3)),  # xyxy: half the width, a quarter of the height
        ([0.5, 0.25, 0.6, 0.95], range(1, 4), range(3, 4)),  # not xywh
        ([0.49, 0.24, 0.51, 0.26], range(2), range(2, 4)),  # a cell that is touched counts
        ([0.9, 0.9, 0.9, 0.9], range(3, 4), range(5, 6)),  # not even a point is lost
    ],
)
def test_cells_in_a_box(box: list[float], rows: range, columns: range):
    expected = torch.zeros(SIZE, dtype=torch.bool)
    expected[rows.start : rows.stop, columns.start : columns.stop] = True
    assert torch.equal(cells_in_boxes(torch.tensor([[box]]), SIZE).reshape(SIZE), expected)


def test_no_valid_token_at_all_is_finite():
    assert layer()(visual(), Grounding(tokens(valid=0)), SIZE).isfinite().all()


def test_strength_zero_leaves_x_bit_for_bit():
    x = visual()
    assert torch.equal(layer()(x, Grounding(tokens()), SIZE, 0.0), x)


def test_strength_and_tokens_matter():
    made, x = layer(), visual()
    full = made(x, Grounding(tokens()), SIZE)
    assert not torch.allclose(full, made(x, Grounding(tokens()), SIZE, 0.5), atol=1e-3)
    assert not torch.allclose(full, made(x, Grounding(tokens(seed=9)), SIZE), atol=1e-3)


def test_batch_rows_do_not_mix():
    made, x, given = layer(8), visual(3), torch.cat([tokens(1, 5), tokens(1, 2, seed=3), tokens(1, 3, seed=4)])
    together = made(x, Grounding(given), SIZE)
    alone = torch.cat([made(x[i : i + 1], Grounding(given[i : i + 1]), SIZE) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_the_gates_learn_at_the_first_step_and_the_rest_at_the_second():
    made, x, given = layer(gates=None), visual(), tokens()
    target = visual(seed=5)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    start = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    for step in range(2):
        optimizer.zero_grad()
        F.mse_loss(made(x, Grounding(given), SIZE), target).backward()
        if step == 0:
            assert all(p.grad is not None and p.grad.abs() > 0 for p in (made.alpha_attn, made.alpha_dense))
        optimizer.step()
    unchanged = [name for name, p in made.named_parameters() if torch.equal(p, start[name])]
    assert unchanged == []
    assert not torch.equal(made(x, Grounding(given), SIZE), x)


def test_queries_are_the_visual_positions_alone():
    seen = []

    def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor) -> Tensor:
        seen.append((q.shape[1], k.shape[1], v.shape[1], heads, tuple(mask.shape)))
        return scaled_dot_product_attention(q, k, v, heads, mask)

    layer(attention=attention)(visual(), Grounding(tokens()), SIZE)
    count = SIZE[0] * SIZE[1]
    assert seen == [(count, count + TOKENS, count + TOKENS, HEADS, (2, 1, count, count + TOKENS))]


@pytest.mark.parametrize("frequencies", [0, 8])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_follows_single_precision(frequencies: int, dtype: torch.dtype):
    made, x, given = layer(frequencies), visual(), tokens(valid=3)
    with torch.no_grad():
        expected = made(x, Grounding(given), SIZE)
        half = made.to(dtype)(x.to(dtype), Grounding(given.to(dtype)), SIZE)
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), expected, atol=0.06, rtol=0.03)


def test_an_untrained_layer_leaves_bf16_bit_for_bit():
    x = visual().bfloat16()
    assert torch.equal(layer(8, gates=None, dtype=torch.bfloat16)(x, Grounding(tokens().bfloat16()), SIZE), x)


@pytest.mark.parametrize(
    ("latents", "levels"),
    [
        ((64, 64), [(64, 64), (32, 32), (16, 16), (8, 8)]),
        ((96, 64), [(96, 64), (48, 32), (24, 16), (12, 8)]),
        ((16, 16), [(16, 16), (8, 8)]),
        ((13, 9), [(13, 9), (7, 5), (4, 3), (2, 2)]),  # strided convolutions round up
        ((1, 40), [(1, 40), (1, 20), (1, 10), (1, 5)]),
    ],
)
def test_visual_size_of_every_level(latents: tuple[int, int], levels: list[tuple[int, int]]):
    assert [visual_size(height * width, latents) for height, width in levels] == levels


@pytest.mark.parametrize("count", [100, 63, 257, 3])
def test_visual_size_refuses_a_count_of_no_level(count: int):
    with pytest.raises(ValueError, match=f"16×16 has {count} positions"):
        visual_size(count, (16, 16))


BLOCKS = {"input_blocks.1.1": {"width": 8, "heads": 2}, "middle_block.1": {"width": 16, "heads": 4}}


def test_blocks_are_found_by_their_address():
    blocks = GatedSelfAttentionBlocks(BLOCKS, TOKEN_DIM, 0)
    assert blocks.addresses == tuple(BLOCKS)
    for address, sizes in BLOCKS.items():
        assert blocks.block(address).norm1.normalized_shape == (sizes["width"],)
        assert blocks.block(address).attn.heads == sizes["heads"]
    assert "input_blocks.1.1.attn.to_q.weight" in blocks.state_dict()


def test_gates_are_the_absolute_tanh_of_alpha():
    blocks = GatedSelfAttentionBlocks(BLOCKS, TOKEN_DIM, 0)
    assert blocks.gates() == dict.fromkeys(BLOCKS, 0.0)
    with torch.no_grad():
        blocks.block("middle_block.1").alpha_attn.fill_(-0.5)
    assert blocks.gates() == {"input_blocks.1.1": 0.0, "middle_block.1": pytest.approx(math.tanh(0.5))}


def test_blocks_of_one_size_share_a_mask(monkeypatch: pytest.MonkeyPatch):
    made, x, given = layer(), visual(), in_boxes(tokens(valid=3), [[0.0, 0.0, 0.5, 0.5]])
    masks: list[tuple[int, int]] = []
    module = sys.modules[GatedSelfAttention.__module__]
    monkeypatch.setattr(module, "attention_mask", lambda *a: masks.append(a[1]) or attention_mask(*a))
    grounding = Grounding(given)
    first = made(x, grounding, SIZE, 0.5)
    for _ in range(3):
        assert torch.equal(made(x, grounding, SIZE, 0.5), first)
    assert masks == [SIZE]


def test_rows_without_a_valid_token_are_left_bit_for_bit():
    made, x, given = layer(), visual(3), tokens(3)
    given[1, :, -1] = 0
    out = made(x, Grounding(given, skip_padding=True), SIZE)
    assert torch.equal(out[1], x[1])
    kept = [0, 2]
    torch.testing.assert_close(out[kept], made(x[kept], Grounding(given[kept]), SIZE))
    assert torch.equal(made(x, Grounding(torch.zeros_like(given), skip_padding=True), SIZE), x)
