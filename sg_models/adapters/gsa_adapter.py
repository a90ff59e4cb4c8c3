"""The adapter of variants (v) to (vii): graph encoder, grounding tokens and gated self-attention in one module.

Its state dict is the adapter file's tensors, name for name.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from ..graph.formats import to_pyg
from ..graph.scene_graph import SceneGraph, SceneGraphError
from ..layers.box_predictor import BoxPredictor
from ..layers.gated_attention import Attention, GatedSelfAttentionBlocks, scaled_dot_product_attention
from ..layers.graph_encoder import GraphEncoder
from ..layers.grounding import GroundingTokens
from .adapter import Adapter, build_module
from .phrase_features import Features
from .structure_clip import KNOWLEDGE

KIND = "gsa"


def graph_data(graph: SceneGraph, features: Features) -> Data:
    """A graph with its phrase vectors: x [O, P], edge_attr [R, P], edge_index, box, has_box and instance [O]."""
    data, (x, edge_attr) = to_pyg(graph), features
    return Data(
        x=x,
        edge_attr=edge_attr,
        edge_index=data.edge_index,
        box=data.box,
        has_box=data.has_box,
        instance=torch.arange(len(graph.objects)),
    )


def build_gsa_adapter(file: Adapter, assign: bool = False, **host: Any) -> "GSAAdapter":
    """The module that an adapter file of kind `gsa` describes, with its weights.

    `assign` as for `build_module`, `host` as for `GSAAdapter`. Raises `AdapterError` where the file's configuration or
    tensors do not make such a module.
    """
    file.check_kind(KIND)
    tensors = {name: tensor for name, tensor in file.state_dict.items() if not name.startswith(KNOWLEDGE)}
    return build_module(file, functools.partial(GSAAdapter, file.config), tensors, assign, **host)


class GSAAdapter(nn.Module):
    """Everything that variants (v) to (vii) add to a base.

    `config`: `phrase_dim`, `graph_dim`, `graph_hidden`, `graph_layers`, `box_layers`, `token_dim`, `token_hidden`,
    `tokens` (their fixed count), `position_frequencies` and `blocks` (block address → width and heads).
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
        self.graph_encoder = GraphEncoder(
            config["phrase_dim"], config["graph_dim"], config["graph_hidden"], config["graph_layers"], **host
        )
        self.layout = BoxPredictor(
            config["graph_dim"], config["graph_hidden"], config["box_layers"], config["tokens"], **host
        )
        self.grounding = GroundingTokens(
            config["graph_dim"],
            config["phrase_dim"],
            config["token_dim"],
            config["token_hidden"],
            config["tokens"],
            **host,
        )
        self.gated_attention = GatedSelfAttentionBlocks(
            config["blocks"], config["token_dim"], config["position_frequencies"], attention=attention, **host
        )

    def forward(self, data: Any) -> Tensor:
        """A PyG batch of `graph_data` → grounding tokens [B, T, D + 5]."""
        objects, relations = self.graph_encoder(data.x, data.edge_attr, data.edge_index)
        return self.ground(objects, relations, data)

    def ground(self, objects: Tensor, relations: Tensor, data: Any) -> Tensor:
        """What the graph encoder makes of a PyG batch, objects [O, G] and relations [R, G] → tokens [B, T, D + 5]."""
        predicted = self.layout(objects, relations, data)
        boxes = torch.where(data.has_box[:, None], data.box.to(predicted), predicted)
        return self.grounding(objects, relations, boxes, data)

    def tokens(self, graphs: Sequence[SceneGraph], features: Sequence[Features]) -> Tensor:
        """Grounding tokens [B, T, D + 5] of some graphs with the features of each.

        Raises `SceneGraphError` for a graph that needs more tokens than the adapter was trained with.
        """
        for graph in graphs:
            self.check_fits(graph)
        parameter = self.grounding.null_token
        batch: Any = Batch.from_data_list([graph_data(g, f) for g, f in zip(graphs, features, strict=True)])
        return self(batch.to(parameter.device))

    def null_tokens(self, batch: int) -> Tensor:
        """The learned tokens for "no graph": [B, T, D + 5]."""
        return self.grounding.null_tokens(batch)

    def check_fits(self, graph: SceneGraph) -> None:
        """Raises `SceneGraphError` if the graph needs more tokens than there are."""
        need, have = len(graph.objects) + len(graph.relations), self.grounding.count
        if need > have:
            raise SceneGraphError(
                f"the graph has {len(graph.objects)} objects and {len(graph.relations)} relations, "
                f"together {need}, and this adapter takes at most {have}; remove {need - have}"
            )
