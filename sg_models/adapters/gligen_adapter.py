"""GLIGEN's public weights as an adapter: position net and gated self-attention in one module.

It has no graph encoder and places nothing: a token is an object's phrase and its box, and relations act through the
boxes that were arranged after them, and through the caption. Its state dict is the adapter file's tensors.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import to_dense_batch

from ..graph.scene_graph import SceneGraph, SceneGraphError
from ..layers.gated_attention import Attention, GatedSelfAttentionBlocks, scaled_dot_product_attention
from ..layers.graph_batch import GraphBatch, graph_batch
from ..layers.grounding import EVERYWHERE
from ..layers.position_net import PositionNet
from .adapter import Adapter, build_module
from .phrase_features import Features
from .variants import GLIGEN

SLOTS = 30  # as in training: null tokens take part in attention, so that leaving empty slots out changes pictures
END = 0.4  # of sampling: later, the authors' own settings and those of others leave the base alone


def build_gligen_adapter(file: Adapter, assign: bool = False, **host: Any) -> "GligenAdapter":
    """The module that an adapter file of kind `gligen` describes, with its weights.

    `assign` as for `build_module`, `host` as for `GligenAdapter`. Raises `AdapterError` where the file's configuration
    or tensors do not make such a module.
    """
    file.check_kind(GLIGEN)
    return build_module(file, functools.partial(GligenAdapter, file.config), file.state_dict, assign, **host)


class GligenAdapter(nn.Module):
    """Everything that GLIGEN adds to a base.

    `config`: `phrase_dim`, `token_dim` and `blocks` (block address → width and heads).
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        operations: Any = nn,
        attention: Attention = scaled_dot_product_attention,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        host: dict[str, Any] = {"operations": operations, "dtype": dtype, "device": device}
        self.config = dict(config)
        self.position_net = PositionNet(config["phrase_dim"], config["token_dim"], **host)
        self.gated_attention = GatedSelfAttentionBlocks(
            config["blocks"], config["token_dim"], 0, attention=attention, **host
        )

    def encode(self, graphs: GraphBatch) -> tuple[Tensor, Tensor]:
        """A batch's phrases as they are, of objects [O, P] and of relations [R, P]: there is no graph encoder."""
        return graphs.x, graphs.edge_attr

    def ground(self, objects: Tensor, relations: Tensor, graphs: GraphBatch) -> Tensor:
        """Phrases of a batch's objects [O, P] and their boxes → tokens [B, 30, D + 5], empty slots among them.

        As for `GroundingTokens`, the last channels are the token's box and 1, as every slot is valid.
        """
        dense: dict[str, Any] = {"max_num_nodes": SLOTS, "batch_size": graphs.num_graphs}
        phrases, there = to_dense_batch(objects, graphs.batch, **dense)  # [B, T, P], [B, T]
        boxes, _ = to_dense_batch(graphs.box.to(objects), graphs.batch, **dense)  # [B, T, 4]
        return self._tokens(phrases, boxes, there)

    def null_tokens(self, batch: int) -> Tensor:
        """What stands for "no graph": empty slots alone, [B, 30, D + 5]."""
        null = self.position_net.null_positive_feature
        nowhere = torch.zeros(batch, SLOTS, dtype=torch.bool, device=null.device)
        return self._tokens(null.expand(batch, SLOTS, -1), null.new_zeros(batch, SLOTS, 4), nowhere)

    def tokens(self, graphs: Sequence[SceneGraph], features: Sequence[Features]) -> Tensor:
        """Tokens [B, 30, D + 5] of some graphs with the features of each; raises `SceneGraphError` as `check_fits`."""
        for graph in graphs:
            self.check_fits(graph)
        batch = graph_batch(graphs, features).to(self.position_net.null_positive_feature.device)
        return self.ground(*self.encode(batch), batch)

    def predict_boxes(self, graphs: GraphBatch) -> Tensor:
        """The boxes that the graphs give [O, 4]: nothing is predicted, and `check_fits` asks for all of them."""
        return graphs.box

    def check_fits(self, graph: SceneGraph) -> None:
        """Raises `SceneGraphError` if the graph has more objects than there are slots, or one without a box."""
        if len(graph.objects) > SLOTS:
            raise SceneGraphError(
                f"the graph has {len(graph.objects)} objects, and GLIGEN takes at most {SLOTS}; "
                f"remove {len(graph.objects) - SLOTS}"
            )
        homeless = [thing.phrase for thing in graph.objects if thing.box is None]
        if homeless:
            more = f" and {len(homeless) - 1} more have" if len(homeless) > 1 else " has"
            raise SceneGraphError(
                f'"{homeless[0]}"{more} no box, and GLIGEN places nothing by itself: connect Arrange Scene Graph '
                "between Scene Graph and Encode Scene Graph (--arrange on the command line), or write boxes into the "
                "graph, such as @ 0.1 0.4 0.6 0.9 behind an object"
            )

    def _tokens(self, phrases: Tensor, boxes: Tensor, there: Tensor) -> Tensor:
        tokens = self.position_net(phrases, boxes, there)  # [B, T, D]
        seen = torch.where(there[..., None], boxes, boxes.new_tensor(EVERYWHERE))
        return torch.cat([tokens, seen.to(tokens), torch.ones_like(tokens[..., :1])], dim=-1)
