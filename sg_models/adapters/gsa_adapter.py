"""The adapter of variants (v) to (vii): graph encoder, grounding tokens and gated self-attention in one module.

Its state dict is the adapter file's tensors, name for name.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..graph.scene_graph import SceneGraph, SceneGraphError
from ..layers.box_predictor import BoxPredictor, keep_given
from ..layers.gated_attention import Attention, GatedSelfAttentionBlocks, scaled_dot_product_attention
from ..layers.graph_batch import NOWHERE, GraphBatch, graph_batch
from ..layers.graph_encoder import GraphEncoder
from ..layers.grounding import GroundingTokens
from .adapter import Adapter, build_module
from .phrase_features import Features
from .structure_clip import KNOWLEDGE
from .variants import GSA


def build_gsa_adapter(file: Adapter, assign: bool = False, **host: Any) -> "GSAAdapter":
    """The module that an adapter file of kind `gsa` describes, with its weights.

    `assign` as for `build_module`, `host` as for `GSAAdapter`. Raises `AdapterError` where the file's configuration or
    tensors do not make such a module.
    """
    file.check_kind(GSA)
    tensors = {name: tensor for name, tensor in file.state_dict.items() if not name.startswith(KNOWLEDGE)}
    return build_module(file, functools.partial(GSAAdapter, file.config), tensors, assign, **host)


class GSAAdapter(nn.Module):
    """Everything that variants (v) to (vii) add to a base.

    `config`: `phrase_dim`, `graph_dim`, `graph_hidden`, `graph_layers`, `box_layers`, `token_dim`, `token_hidden`,
    `tokens` (their fixed count), `position_frequencies` and `blocks` (block address → width and heads); and
    `places_objects`, true if left out, false where no box was known in training, so that nothing has learned to.
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

    @property
    def box_predictor(self) -> BoxPredictor:
        """What places objects without a box; adapter files call it `layout`."""
        return self.layout

    @property
    def places_objects(self) -> bool:
        """Whether it places objects without a box. If not, they have the null box, as they had in training."""
        return self.config.get("places_objects", True)

    def encode(self, graphs: GraphBatch) -> tuple[Tensor, Tensor]:
        """Features of a batch's objects [O, G] and of its relations [R, G]."""
        return self.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)

    def forward(self, graphs: GraphBatch) -> Tensor:
        """A batch of graphs → grounding tokens [B, T, D + 5]."""
        objects, relations = self.encode(graphs)
        return self.ground(objects, relations, graphs)

    def ground(self, objects: Tensor, relations: Tensor, graphs: GraphBatch) -> Tensor:
        """What the graph encoder makes of a batch, objects [O, G] and relations [R, G] → tokens [B, T, D + 5]."""
        if self.places_objects:
            boxes = keep_given(self.box_predictor(objects, relations, graphs), graphs)
        else:
            boxes = keep_given(graphs.box.new_tensor(NOWHERE).expand_as(graphs.box), graphs)
        return self.grounding(objects, relations, boxes, graphs)

    def predict_boxes(self, graphs: GraphBatch) -> Tensor:
        """A box for each object of a batch, the given ones kept: [O, 4].

        Raises `SceneGraphError` if there is an object without a box, and the adapter has not learned to place any.
        """
        if not (self.places_objects or graphs.has_box.all()):
            raise SceneGraphError(
                "this adapter was trained without boxes and cannot place objects; give every object a box"
            )
        objects, relations = self.encode(graphs)
        return keep_given(self.box_predictor(objects, relations, graphs), graphs)

    def tokens(self, graphs: Sequence[SceneGraph], features: Sequence[Features]) -> Tensor:
        """Grounding tokens [B, T, D + 5] of some graphs with the features of each.

        Raises `SceneGraphError` for a graph that needs more tokens than the adapter was trained with.
        """
        for graph in graphs:
            self.check_fits(graph)
        return self(graph_batch(graphs, features).to(self.grounding.null_token.device))

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
