"""Gated self-attention: how grounding tokens reach the UNet (GLIGEN, Li et al. 2023, section 3.2, equation 8).

    x ← x + s·tanh(α)·Attn(LN[x; W g])[:N]
    x ← x + s·tanh(β)·FF(LN(x))

between self-attention and cross-attention of every transformer block. α = β = 0 at the start: an untrained adapter
leaves its base bit for bit as it was.

A grounding token is seen from inside its box alone: the instance-masked attention of InstanceDiffusion's UniFusion
(Wang et al. 2024). GLIGEN leaves it to training that a position finds the tokens of its place; without masks, the layer
is GLIGEN's.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .fourier import fourier_features

TOKEN_EXTRAS = 5  # channels of a token after its content: its box (x0, y0, x1, y1), and 1 where it is valid

# attention(q, k, v, heads, mask): q [B, N, H·d], k and v [B, M, H·d], mask additive [B, 1, N, M] or None → [B, N, H·d]
Attention = Callable[[Tensor, Tensor, Tensor, int, Tensor | None], Tensor]


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """PyTorch's attention, in the calling convention that the hosts share (see `Attention`)."""
    q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=heads) for t in (q, k, v))
    return rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b h n d -> b n (h d)")


def visual_size(count: int, latent_size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) of a UNet level that has `count` positions, for latents of `latent_size`."""
    height, width = latent_size
    while height * width > count:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    if height * width != count:
        raise ValueError(f"no UNet level of latents {latent_size[0]}×{latent_size[1]} has {count} positions")
    return height, width


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, attention: Attention, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.heads, self.attention = heads, attention
        self.to_q = operations.Linear(width, width, bias=False, **factory)
        self.to_k = operations.Linear(width, width, bias=False, **factory)
        self.to_v = operations.Linear(width, width, bias=False, **factory)
        self.to_out = nn.Sequential(operations.Linear(width, width, **factory))

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        return self.to_out(self.attention(self.to_q(x), self.to_k(context), self.to_v(context), self.heads, mask))


class _GEGLU(nn.Module):
    def __init__(self, width: int, hidden: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.proj = operations.Linear(width, 2 * hidden, **factory)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class _FeedForward(nn.Module):
    def __init__(self, width: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        hidden = 4 * width
        # the gap at 1 is GLIGEN's dropout, kept so that its weights load under their own names
        self.net = nn.Sequential(
            _GEGLU(width, hidden, operations, factory),
            nn.Identity(),
            operations.Linear(hidden, width, **factory),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class GatedSelfAttention(nn.Module):
    """The gated layer of one transformer block; parameter names are GLIGEN's.

    `width` of the block, `token_dim` of the grounding tokens, `heads` of the block. With `position_frequencies` > 0 the
    visual positions carry Fourier features of where they are: a small UNet knows less about that than SD's does, and
    0 is GLIGEN exactly.
    """

    def __init__(
        self,
        width: int,
        token_dim: int,
        heads: int,
        position_frequencies: int = 0,
        *,
        operations: Any = nn,
        attention: Attention = scaled_dot_product_attention,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.linear = operations.Linear(token_dim, width, **factory)
        self.attn = _Attention(width, heads, attention, operations, factory)
        self.ff = _FeedForward(width, operations, factory)
        self.norm1 = operations.LayerNorm(width, **factory)
        self.norm2 = operations.LayerNorm(width, **factory)
        self.position_frequencies = position_frequencies
        if position_frequencies:
            self.position = operations.Linear(4 * position_frequencies, width, **factory)
        self.alpha_attn = nn.Parameter(torch.zeros((), **factory))
        self.alpha_dense = nn.Parameter(torch.zeros((), **factory))

    def forward(self, x: Tensor, grounding: "Grounding", size: tuple[int, int], strength: float = 1.0) -> Tensor:
        """x [B, N, C] with N = h·w of `size` and the grounding tokens of its rows → [B, N, C]."""
        if grounding.rows is None:
            return self._attend(x, grounding, size, strength)
        if not len(grounding.rows):
            return x
        return x.index_copy(0, grounding.rows, self._attend(x[grounding.rows], grounding, size, strength))

    def _attend(self, x: Tensor, grounding: "Grounding", size: tuple[int, int], strength: float) -> Tensor:
        """The layer on the rows x that have tokens."""
        visual, context = self.norm1(x), self.norm1(self.linear(grounding.tokens[..., :-TOKEN_EXTRAS]))
        if self.position_frequencies:
            visual = visual + self._positions(size, x)
        mask = grounding.mask(size, x.dtype)
        attended = self.attn(visual, torch.cat([visual, context], dim=1), mask)
        x = x + strength * self.alpha_attn.to(x).tanh() * attended
        return x + strength * self.alpha_dense.to(x).tanh() * self.ff(self.norm2(x))

    def _positions(self, size: tuple[int, int], x: Tensor) -> Tensor:
        """Encoded centres of the visual positions: [N, C]."""
        rows, columns = ((torch.arange(n, device=x.device, dtype=x.dtype) + 0.5) / n for n in size)
        centres = torch.cartesian_prod(rows, columns)  # [N, 2]
        return self.position(fourier_features(centres, self.position_frequencies))


def attention_mask(tokens: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """What is added to attention scores for tokens [B, T, D + 5] at h·w = N positions: [B, 1, N, N + T].

    A position sees all positions, and the valid tokens in whose box it lies.
    """
    boxes, valid = tokens[..., -TOKEN_EXTRAS:].tensor_split((-1,), dim=-1)
    seen = cells_in_boxes(boxes, size) & (valid > 0).mT  # [B, N, T]
    mask = torch.zeros(seen.shape, dtype=dtype, device=tokens.device).masked_fill(~seen, torch.finfo(dtype).min)
    return F.pad(mask, (seen.shape[1], 0))[:, None]


def as_padding(tokens: Tensor) -> Tensor:
    """Tokens [B, T, D + 5] of which none is valid: rows that have these are left as they are (see `Grounding`)."""
    return torch.cat([tokens[..., :-1], torch.zeros_like(tokens[..., -1:])], dim=-1)


class Grounding:
    """The grounding tokens [B, T, D + 5] of one UNet call, with what its blocks share.

    That is the mask of each size, made once: at 64 × 64 positions one takes 67 MB per row. With `skip_padding` the
    layers run on those rows alone that have any valid token; the others are left as they are. Finding them out makes
    a GPU wait once per call, so ask for it only where there are such rows. Without `masked` every token of these rows
    is seen from everywhere, as GLIGEN has it.
    """

    def __init__(self, tokens: Tensor, skip_padding: bool = False, masked: bool = True) -> None:
        self.masked = masked
        self.rows: Tensor | None = None
        if skip_padding:
            valid = (tokens[..., -1] > 0).any(dim=1)  # [B]
            self.rows = None if bool(valid.all()) else valid.nonzero().flatten()
        self.tokens = tokens if self.rows is None else tokens[self.rows]
        self._masks: dict[tuple[tuple[int, int], torch.dtype], Tensor] = {}

    def mask(self, size: tuple[int, int], dtype: torch.dtype) -> Tensor | None:
        """`attention_mask` of the tokens at h·w = N positions: [B, 1, N, N + T]; None where nothing is masked."""
        if not self.masked:
            return None
        if (size, dtype) not in self._masks:
            self._masks[size, dtype] = attention_mask(self.tokens, size, dtype)
        return self._masks[size, dtype]


def cells_in_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Which of h·w equal cells of a picture touch which boxes: [B, T, 4] and `size` (h, w) → bool [B, h·w, T]."""
    x0, y0, x1, y1 = (edge[:, None] for edge in boxes.float().unbind(-1))  # [B, 1, T] each
    rows, columns = (torch.arange(n, device=boxes.device)[:, None] for n in size)  # [h, 1], [w, 1]
    height, width = size
    down = (rows + 1 > y0 * height) & (rows < y1 * height)  # [B, h, T]
    across = (columns + 1 > x0 * width) & (columns < x1 * width)  # [B, w, T]
    return (down[:, :, None] & across[:, None]).flatten(1, 2)


class GatedSelfAttentionBlocks(nn.Module):
    """One `GatedSelfAttention` per block address; parameters are named `<block address>.<GLIGEN's name>`.

    `blocks` maps addresses, in the order of the UNet's forward pass, to `{"width": C, "heads": H}`.
    """

    def __init__(
        self, blocks: dict[str, dict[str, int]], token_dim: int, position_frequencies: int, **host: Any
    ) -> None:
        super().__init__()
        self.addresses = tuple(blocks)
        for address, sizes in blocks.items():
            *path, name = address.split(".")
            parent: nn.Module = self
            for part in path:
                if part not in dict(parent.named_children()):
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            layer = GatedSelfAttention(sizes["width"], token_dim, sizes["heads"], position_frequencies, **host)
            parent.add_module(name, layer)

    def block(self, address: str) -> GatedSelfAttention:
        """The layer at a block address such as `input_blocks.1.1`."""
        layer = self.get_submodule(address)
        assert isinstance(layer, GatedSelfAttention)
        return layer

    def gates(self) -> dict[str, float]:
        """|tanh α| of the attention gate by block address: the first sign of whether training works."""
        return {address: self.block(address).alpha_attn.tanh().abs().item() for address in self.addresses}
