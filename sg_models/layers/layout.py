"""Scene layout: a box and a mask for each object, and the feature map composed from them.

Johnson et al. 2018, section 3 ("Scene layout"): boxes and masks are read off the objects' graph features; each object's
feature is spread over its mask, the mask warped into its box, and the objects of a graph are summed. A small decoder
turns the sum into a coarse semantic layout; up to its intermediate layer it also makes what the ControlNet is given
(*Scene Graph Conditioning in Latent Diffusion*, section 4.2).

Differences from sg2im: boxes that a person gives win over predicted ones, and the semantic layout is open-vocabulary:
its cells are compared with the phrases of the graph's own objects.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch_geometric.utils import to_dense_batch

from .box_predictor import BoxPredictor, keep_given
from .graph_batch import GraphBatch

MASK_SIDE = 16
GROUPS = 8


@dataclass(frozen=True)
class Layout:
    """The layout of a batch of graphs with O objects together."""

    boxes: Tensor  # [O, 4]
    masks: Tensor  # [O, M, M] in [0, 1], each within its own box
    control: Tensor  # [B, K, h, w], what the ControlNet is given
    semantics: Tensor  # [B, S, h, w], to be compared with `LayoutPredictor.names`


class LayoutPredictor(nn.Module):
    """Object features of a batch of graphs → their layout.

    `dim`, `hidden`, `box_layers` and `count` are `BoxPredictor`'s; `phrase_dim` of the phrase vectors, `width` of the
    decoder, `channels` K of its intermediate map.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        box_layers: int,
        count: int,
        phrase_dim: int,
        width: int,
        channels: int,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.dim = dim
        self.box = BoxPredictor(dim, hidden, box_layers, count, operations=operations, dtype=dtype, device=device)
        self.mask = _MaskHead(dim, width, operations, factory)
        self.decoder = nn.Sequential(
            operations.Conv2d(dim + 1, width, 3, padding=1, **factory),
            operations.GroupNorm(GROUPS, width, **factory),
            nn.SiLU(),
            operations.Conv2d(width, channels, 3, padding=1, **factory),
        )
        self.semantic = nn.Sequential(
            nn.SiLU(),
            operations.Conv2d(channels, width, 3, padding=1, **factory),
            operations.GroupNorm(GROUPS, width, **factory),
            nn.SiLU(),
            operations.Conv2d(width, width, 1, **factory),
        )
        self.name = operations.Linear(phrase_dim, width, **factory)
        self.background = nn.Parameter(torch.zeros(width, **factory))

    def forward(self, objects: Tensor, relations: Tensor, graphs: GraphBatch, size: tuple[int, int]) -> Layout:
        """Features of the objects [O, D] and relations [R, D] of a batch → its layout, with maps of `size` (h, w)."""
        boxes = keep_given(self.box(objects, relations, graphs), graphs)
        return self.compose(objects, boxes, graphs, size)

    def compose(self, objects: Tensor, boxes: Tensor, graphs: GraphBatch, size: tuple[int, int]) -> Layout:
        """The layout with these boxes [O, 4]."""
        masks = self.mask(objects).sigmoid()
        # one channel of ones beside the features says how much of a cell is covered, whatever by
        features = torch.cat([objects, torch.ones_like(objects[:, :1])], dim=1)
        composed = compose(features, boxes, masks, graphs.batch, graphs.num_graphs, size)  # [B, D + 1, h, w]
        control = self.decoder(composed)
        return Layout(boxes, masks, control, self.semantic(control))

    def object_logits(self, semantics: Tensor, phrases: Tensor, graph_of: Tensor) -> tuple[Tensor, Tensor]:
        """How well each cell fits each object of its own graph, and how well the background.

        semantics [B, S, h, w], phrases [O, P], graph_of [O] → [O, h, w] and [B, h, w], in one scale per graph.
        """
        scale = semantics.shape[1] ** -0.5
        fits = torch.einsum("oshw,os->ohw", semantics[graph_of], self.name(phrases.to(semantics))) * scale
        return fits, torch.einsum("bshw,s->bhw", semantics, self.background.to(semantics)) * scale


class _MaskHead(nn.Module):
    """Object features [O, D] → mask logits [O, M, M]."""

    def __init__(self, dim: int, width: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.first = operations.Linear(dim, width * 4 * 4, **factory)
        self.middle = operations.Conv2d(width, width // 2, 3, padding=1, **factory)
        self.last = operations.Conv2d(width // 2, width // 4, 3, padding=1, **factory)
        self.out = operations.Conv2d(width // 4, 1, 1, **factory)

    def forward(self, objects: Tensor) -> Tensor:
        x = rearrange(self.first(objects), "o (c h w) -> o c h w", h=4, w=4)
        x = self.middle(F.interpolate(F.silu(x), scale_factor=2.0))  # [O, C/2, 8, 8]
        x = self.last(F.interpolate(F.silu(x), scale_factor=2.0))  # [O, C/4, 16, 16]
        return self.out(F.silu(x))[:, 0]


def compose(
    features: Tensor, boxes: Tensor, masks: Tensor, graph_of: Tensor, count: int, size: tuple[int, int]
) -> Tensor:
    """Objects' features, spread over their masks in their boxes, summed per graph (Johnson et al. 2018, figure 4).

    features [O, D], boxes [O, 4], masks [O, M, M], graph_of [O] in [0, count), `size` (h, w) → [count, D, h, w].
    """
    warped = warp(masks, boxes, size).to(features).flatten(1)  # [O, h·w]
    # a product per graph: spread out object by object, the features of 1,024 graphs would take gigabytes
    of_graph, _ = to_dense_batch(features, graph_of, batch_size=count)  # [count, N, D]
    places, _ = to_dense_batch(warped, graph_of, batch_size=count)  # [count, N, h·w]
    return (of_graph.mT @ places).unflatten(-1, size)


def warp(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks [O, M, M] put into their boxes [O, 4] in a picture of `size` (h, w) cells, zero outside: [O, h, w]."""
    height, width = size
    x0, y0, x1, y1 = boxes.float().unbind(-1)
    columns = (torch.arange(width, device=boxes.device) + 0.5) / width
    rows = (torch.arange(height, device=boxes.device) + 0.5) / height
    u = 2 * (columns[None] - x0[:, None]) / (x1 - x0)[:, None] - 1  # [O, w], -1 and 1 at the box's sides
    v = 2 * (rows[None] - y0[:, None]) / (y1 - y0)[:, None] - 1  # [O, h]
    grid = torch.stack([u[:, None].expand(-1, height, -1), v[:, :, None].expand(-1, -1, width)], dim=-1)  # [O, h, w, 2]
    return F.grid_sample(masks[:, None].float(), grid, align_corners=False)[:, 0].to(masks)
