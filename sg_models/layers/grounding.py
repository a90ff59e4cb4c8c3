"""Grounding tokens: what gated self-attention is given about a scene graph.

One token per object and one per relation, from graph feature, phrase vector and box as in GLIGEN (Li et al. 2023,
equation 5), with the role and instance embeddings of InteractDiffusion (Hoe et al. 2024, section 3.3): two dogs stay
two dogs, and "A left of B" differs from "B left of A". Each token brings along where it is seen: an object's in its
box, every other one in the whole picture.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import to_dense_batch

from .fourier import fourier_features
from .graph_batch import GraphBatch, is_placed

BOX_FREQUENCIES = 8
EMBEDDING_STD = 0.2  # beside token contents of unit scale
OBJECT, RELATION = 0, 1  # rows of the role embedding
EVERYWHERE = (0.0, 0.0, 1.0, 1.0)


class GroundingTokens(nn.Module):
    """Graph features of a batch of graphs → a fixed count of tokens each, padded with learned nulls."""

    def __init__(
        self,
        graph_dim: int,
        phrase_dim: int,
        token_dim: int,
        hidden: int,
        count: int,
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        factory: dict[str, Any] = {"dtype": dtype, "device": device}
        box_dim = 8 * BOX_FREQUENCIES
        self.count = count
        self.null_box = nn.Parameter(torch.zeros(box_dim, **factory))
        self.null_token = nn.Parameter(torch.randn(count, token_dim, **factory) * 0.02)
        self.role = operations.Embedding(2, token_dim, **factory)
        self.instance = operations.Embedding(count, token_dim, **factory)
        self.as_subject = operations.Linear(token_dim, token_dim, bias=False, **factory)
        self.as_object = operations.Linear(token_dim, token_dim, bias=False, **factory)
        self.mix = nn.Sequential(
            operations.Linear(graph_dim + phrase_dim + box_dim, hidden, **factory),
            nn.SiLU(),
            operations.Linear(hidden, hidden, **factory),
            nn.SiLU(),
            operations.Linear(hidden, token_dim, **factory),
            operations.LayerNorm(token_dim, **factory),
        )
        # what a token is about must not drown in whose it is: an embedding's own start is as loud as the content
        for embedding in (self.role, self.instance):
            nn.init.normal_(embedding.weight, std=EMBEDDING_STD)

    def forward(self, objects: Tensor, relations: Tensor, boxes: Tensor, graphs: GraphBatch) -> Tensor:
        """Features of objects [O, G] and relations [R, G] and boxes [O, 4] of a batch → [B, T, D + 5].

        The last channels are the token's box and 1 where it is valid. An object whose box is `NOWHERE` has the learned
        null box, as relations do, and is seen everywhere.
        """
        placed, boxes = is_placed(boxes)[:, None], boxes.to(objects)
        null_box = self.null_box.to(objects)
        box = torch.where(placed, fourier_features(boxes, BOX_FREQUENCIES), null_box)
        no_box = null_box.expand(len(relations), -1)
        instance = self.instance(graphs.instance).to(objects)  # [O, D]
        subject, object_ = graphs.edge_index
        role = self.role.weight.to(objects)
        object_tokens = self.mix(torch.cat([objects, graphs.x.to(objects), box], -1)) + role[OBJECT] + instance
        relation_tokens = (
            self.mix(torch.cat([relations, graphs.edge_attr.to(objects), no_box], -1))
            + role[RELATION]
            + self.as_subject(instance[subject])
            + self.as_object(instance[object_])
        )
        everywhere = boxes.new_tensor(EVERYWHERE)
        seen = torch.cat([torch.where(placed, boxes, everywhere), everywhere.expand(len(relations), -1)])
        return self._pad(torch.cat([torch.cat([object_tokens, relation_tokens]), seen], dim=-1), graphs)

    def null_tokens(self, batch: int) -> Tensor:
        """The learned "no graph": [B, T, D + 5], all of them valid."""
        valid = torch.ones_like(self.null_token[:, :1])
        return torch.cat([self._nulls(), valid], dim=-1).expand(batch, -1, -1)

    def _nulls(self) -> Tensor:
        everywhere = self.null_token.new_tensor(EVERYWHERE).expand(self.count, -1)
        return torch.cat([self.null_token, everywhere], dim=-1)  # [T, D + 4]

    def _pad(self, tokens: Tensor, graphs: GraphBatch) -> Tensor:
        graph_of = torch.cat([graphs.batch, graphs.batch[graphs.edge_index[0]]])
        order = graph_of.argsort(stable=True)
        dense, valid = to_dense_batch(
            tokens[order], graph_of[order], max_num_nodes=self.count, batch_size=graphs.num_graphs
        )
        dense = torch.where(valid[..., None], dense, self._nulls().to(dense))  # [B, T, D + 4]
        return torch.cat([dense, valid[..., None].to(dense)], dim=-1)
