"""One vector for a whole graph, to lie where CLIP puts the picture of it ("Image Synthesis with Graph Conditioning").

The paper takes the global vector of SGDiff's graph encoder; here it is made of this project's own. Its projection is a
part of the module: in the released code a new random one is drawn in every step, so that nothing can be learned of it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.utils import scatter

from .graph_batch import GraphBatch

LENGTH = 10.0  # of graph vectors and picture features: at length 1 the kernels of the paper's MMD would be flat


class GraphVector(nn.Module):
    """The mean over a graph's objects beside that over its relations → a vector of length `LENGTH`."""

    def __init__(
        self,
        dim: int,
        hidden: int,
        out_dim: int,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        # vectors from a narrower layer would lie in a plane of their space, which a discriminator sees at once
        hidden = max(hidden, out_dim)
        self.project = nn.Sequential(
            operations.LayerNorm(2 * dim, **factory),
            operations.Linear(2 * dim, hidden, **factory),
            nn.SiLU(),
            operations.Linear(hidden, out_dim, **factory),
        )

    def forward(self, objects: Tensor, relations: Tensor, graphs: GraphBatch) -> Tensor:
        """Features of objects [O, D] and relations [R, D] of a batch → [B, J].

        A graph without relations has zeros in the place of their mean; no graph sees what stands beside it.
        """
        of_relations = graphs.batch[graphs.edge_index[0]]
        means = [
            scatter(features, graph_of, dim_size=graphs.num_graphs, reduce="mean")  # zeros where a graph has none
            for features, graph_of in ((objects, graphs.batch), (relations, of_relations))
        ]
        return of_length(self.project(torch.cat(means, dim=-1)))


def of_length(vectors: Tensor) -> Tensor:
    """Vectors [B, J] scaled to `LENGTH`, in float32."""
    return LENGTH * F.normalize(vectors.float(), dim=-1)
