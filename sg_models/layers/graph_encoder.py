"""Graph encoder: triple convolution over phrase vectors (Johnson et al. 2018, section 3, "Graph Convolution Network").

Differences from sg2im: open vocabulary (it sees phrase vectors, never class ids), normalisation before each layer, and
residuals, so that an object without relations keeps its own embedding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing


class TripleConv(MessagePassing):
    """One graph convolution over (subject, predicate, object) triples.

    A shared network turns each triple into a message for its subject, one for its object and a new relation feature;
    an object takes the mean of the messages that reach it, whichever role they come from.
    """

    def __init__(self, dim: int, hidden: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__(aggr="mean")
        self.dim, self.hidden = dim, hidden
        self.object_norm = operations.LayerNorm(dim, **factory)
        self.relation_norm = operations.LayerNorm(dim, **factory)
        self.triple = nn.Sequential(
            operations.Linear(3 * dim, hidden, **factory),
            nn.SiLU(),
            operations.Linear(hidden, 2 * hidden + dim, **factory),
        )
        # without biases, so that no message means no change
        self.pooled = nn.Sequential(
            operations.Linear(hidden, hidden, bias=False, **factory),
            nn.SiLU(),
            operations.Linear(hidden, dim, bias=False, **factory),
        )

    def forward(self, objects: Tensor, relations: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """objects [O, D], relations [R, D], edge_index [2, R] (subject, object) → the same shapes."""
        normed, (subject, object_) = self.object_norm(objects), edge_index
        triple = torch.cat([normed[subject], self.relation_norm(relations), normed[object_]], dim=-1)  # [R, 3D]
        to_subject, to_object, new = self.triple(triple).split([self.hidden, self.hidden, self.dim], dim=-1)
        targets = torch.cat([subject, object_])  # [2R]
        messages = torch.cat([to_subject, to_object])  # [2R, H]
        pooled = self.propagate(
            torch.stack([targets, targets]), messages=messages, size=(len(objects), len(objects))
        )  # [O, H]
        return objects + self.pooled(pooled), relations + new

    def propagate(self, edge_index: Tensor, size: tuple[int, int] | None = None, **features: Any) -> Tensor:
        """PyG's own. Naming it here keeps PyG from generating code for it, which it would write to a file named after
        this module: in ComfyUI that name is a path into `custom_nodes`."""
        return super().propagate(edge_index, size=size, **features)

    def message(self, messages: Tensor) -> Tensor:
        """What travels along an edge is already computed, one row per edge."""
        return messages


class GraphEncoder(nn.Module):
    """Phrase vectors and edges of a batch of graphs → object features [O, D] and relation features [R, D]."""

    def __init__(
        self,
        phrase_dim: int,
        dim: int,
        hidden: int,
        layers: int,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        self.object_in = operations.Linear(phrase_dim, dim, **factory)
        self.relation_in = operations.Linear(phrase_dim, dim, **factory)
        self.layers = nn.ModuleList(TripleConv(dim, hidden, operations, factory) for _ in range(layers))

    def forward(self, x: Tensor, edge_attr: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """x [O, P] and edge_attr [R, P]: phrase vectors of objects and predicates; edge_index [2, R]."""
        objects, relations = self.object_in(x), self.relation_in(edge_attr)
        for layer in self.layers:
            objects, relations = layer(objects, relations, edge_index)
        return objects, relations
