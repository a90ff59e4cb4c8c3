"""Regional cross-attention: every place of a picture reads the words of what belongs there.

    out(cell) = W_o Σ_r w_r(cell) · Attn(q(cell), K(c_r), V(c_r))

with the prompt as context c_0 and a phrase for each region. This is the form known as attention couple; it needs no
training. The weights of a cell sum to 1, so that it does not matter whether W_o comes before the sum or after it.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from torch import Tensor


def region_weights(places: Tensor, size: tuple[int, int], base_weight: float = 0.0, strength: float = 1.0) -> Tensor:
    """How much each of h·w cells of a picture listens to the prompt and to each region: [B, 1 + R, h·w], sums of 1.

    `places` are boxes [B, R, 4] or masks [B, R, H, W] in [0, 1], `size` is (h, w). What several regions cover belongs
    to the smallest of them, the first of equals; what none covers belongs to the prompt, which also keeps `base_weight`
    of the rest. A cell that is covered in part is shared in proportion, so that no box is too small for a coarse map.
    An empty box or mask is padding. Regions get `strength` times their part; beyond 1 / (1 - base_weight) the prompt's
    becomes negative, and what a region adds to it is exaggerated.
    """
    covered, area = (_box_coverage if places.ndim == 3 else _mask_coverage)(places.float(), size)
    order = area.argsort(dim=1, stable=True)[..., None].expand_as(covered)
    total = covered.gather(1, order).cumsum(dim=1).clamp(max=1)  # [B, R, N], the smallest regions first
    taken = torch.diff(total, dim=1, prepend=torch.zeros_like(total[:, :1]))
    regions = strength * (1 - base_weight) * torch.zeros_like(covered).scatter(1, order, taken)
    return torch.cat([1 - regions.sum(dim=1, keepdim=True), regions], dim=1)


def _box_coverage(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which part of each cell boxes [B, R, 4] cover [B, R, h·w], and how large the boxes are [B, R]."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    down, across = (_overlap(*edges, count) for edges, count in zip(((y0, y1), (x0, x1)), size, strict=True))
    return einsum(down, across, "b r h, b r w -> b r h w").flatten(2), (x1 - x0) * (y1 - y0)


def _overlap(low: Tensor, high: Tensor, count: int) -> Tensor:
    """Which part of each of `count` equal cells of [0, 1] lies in intervals [B, R]: [B, R, count]."""
    first = torch.arange(count, device=low.device)
    from_, to = torch.maximum(low[..., None] * count, first), torch.minimum(high[..., None] * count, first + 1)
    return (to - from_).clamp(min=0)


def _mask_coverage(masks: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The same of masks [B, R, H, W]."""
    return F.interpolate(masks, size, mode="area").clamp(0, 1).flatten(2), masks.mean(dim=(2, 3))


def mix_regions(attended: Tensor, weights: Tensor) -> Tensor:
    """What cells [B, 1 + R, N, C] read in each context, by their weights [B, 1 + R, N]: [B, N, C]."""
    return einsum(attended, weights.to(attended), "b r n c, b r n -> b n c")


def regional_attention(
    q: Tensor,
    contexts: Tensor,
    weights: Tensor,
    to_k: Callable[[Tensor], Tensor],
    to_v: Callable[[Tensor], Tensor],
    heads: int,
) -> Tensor:
    """Cross-attention before its output projection: [B, N, H·d].

    Queries q [B, N, H·d], contexts [B, 1 + R, L, D] with the prompt first, weights [B, 1 + R, N] of `region_weights`.
    """
    count = contexts.shape[1]
    context = rearrange(contexts, "b r l d -> (b r) l d")
    k, v = (rearrange(project(context), "b l (h d) -> b h l d", h=heads) for project in (to_k, to_v))
    q = repeat(q, "b n (h d) -> (b r) h n d", r=count, h=heads)
    attended = F.scaled_dot_product_attention(q, k, v)
    return mix_regions(rearrange(attended, "(b r) h n d -> b r n (h d)", r=count), weights)
