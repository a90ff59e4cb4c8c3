"""Boxes from a scene graph: where each object goes when nobody has said so.

Boxes are read off graph features as in sg2im (Johnson et al. 2018, section 3, "Scene layout"). What differs: objects
that the graph does not relate see each other too, so that they keep out of each other's way, and so do the boxes that a
person gives, so that the others find their place around them.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .fourier import fourier_features
from .graph_batch import GraphBatch
from .graph_encoder import TripleConv
from .grounding import BOX_FREQUENCIES, EMBEDDING_STD

MIN_SIDE = 0.02  # of a predicted box, as a part of the picture


class BoxPredictor(nn.Module):
    """Object and relation features of a batch of graphs → a box per object.

    `dim` of the features, `hidden` of the convolutions, `layers` of them, `count`: the most objects of a graph.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        layers: int,
        count: int,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.given = operations.Linear(8 * BOX_FREQUENCIES, dim, **factory)
        self.not_given = nn.Parameter(torch.zeros(dim, **factory))
        self.instance = operations.Embedding(count, dim, **factory)  # else two equal objects would get one place
        self.pair = nn.Parameter(torch.zeros(dim, **factory))
        self.layers = nn.ModuleList(TripleConv(dim, hidden, operations, factory) for _ in range(layers))
        self.norm = operations.LayerNorm(dim, **factory)
        self.out = operations.Linear(dim, 4, **factory)
        nn.init.normal_(self.instance.weight, std=EMBEDDING_STD)

    def forward(self, objects: Tensor, relations: Tensor, graphs: GraphBatch) -> Tensor:
        """Features of the objects [O, D] and relations [R, D] of a batch → boxes [O, 4] inside the picture."""
        given = self.given(fourier_features(graphs.box.to(objects), BOX_FREQUENCIES))
        place = torch.where(graphs.has_box[:, None], given, self.not_given.to(objects))
        objects = objects + place + self.instance(graphs.instance).to(objects)
        pairs = pairs_within(graphs.batch)  # [2, P]
        edges = torch.cat([graphs.edge_index, pairs], dim=1)
        relations = torch.cat([relations, self.pair.to(objects).expand(pairs.shape[1], -1)])
        for layer in self.layers:
            objects, relations = layer(objects, relations, edges)
        start, side = self.out(self.norm(objects)).sigmoid().chunk(2, dim=-1)  # [O, 2] each
        side = MIN_SIDE + (1 - MIN_SIDE) * side
        start = start * (1 - side)
        return torch.cat([start, start + side], dim=-1)


def keep_given(predicted: Tensor, graphs: GraphBatch) -> Tensor:
    """Predicted boxes [O, 4], with those that the graphs give in their place."""
    return torch.where(graphs.has_box[:, None], graphs.box.to(predicted), predicted)


def pairs_within(graph_of: Tensor) -> Tensor:
    """All ordered pairs of different objects of one graph: graph_of [O] → [2, P]."""
    same = graph_of[:, None] == graph_of[None]
    return same.fill_diagonal_(False).nonzero().T
