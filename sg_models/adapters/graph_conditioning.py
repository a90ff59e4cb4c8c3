"""The adapter of graph conditioning: a graph encoder whose vectors lie among CLIP's, and where they go in a context.

"Image Synthesis with Graph Conditioning" (arXiv 2401.14111). The state dicts are the adapter files' tensors, name for
name; the first stage's file has what of the second's has the same name.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import to_dense_batch

from ..graph.scene_graph import SceneGraph
from ..layers.graph_batch import GraphBatch, graph_batch
from ..layers.graph_encoder import GraphEncoder
from ..layers.graph_signal import EncodedGraphs, GraphSignal
from ..layers.graph_vector import GraphVector
from .adapter import Adapter, build_module
from .phrase_features import Features
from .variants import GRAPH_CONDITIONING


def build_graph_conditioning(file: Adapter, assign: bool = False, **host: Any) -> "GraphConditioning":
    """The module that an adapter file of kind `graph-conditioning` describes, with its weights.

    `assign` as for `build_module`, `host` as for `GraphConditioning`. Raises `AdapterError` where the file's
    configuration or tensors do not make such a module.
    """
    file.check_kind(GRAPH_CONDITIONING)
    return build_module(file, functools.partial(GraphConditioning, file.config), file.state_dict, assign, **host)


class AlignedGraphEncoder(nn.Module):
    """Graphs → vectors in the space of a CLIP's pictures.

    `config`: `phrase_dim`, `graph_dim`, `graph_hidden`, `graph_layers` and `joint_dim`, that of the CLIP's features.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        host: dict[str, Any] = {"operations": operations, "dtype": dtype, "device": device}
        self.config = dict(config)
        self.graph_encoder = GraphEncoder(
            config["phrase_dim"], config["graph_dim"], config["graph_hidden"], config["graph_layers"], **host
        )
        self.graph_vector = GraphVector(config["graph_dim"], config["graph_hidden"], config["joint_dim"], **host)

    def vectors(self, graphs: GraphBatch) -> Tensor:
        """A batch of graphs → [B, J]."""
        return self.encode(graphs).vectors

    def encode(self, graphs: GraphBatch) -> EncodedGraphs:
        """A batch of graphs → the vector of each, and its objects."""
        objects, relations = self.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)
        dense, there = to_dense_batch(objects, graphs.batch, batch_size=graphs.num_graphs)
        return EncodedGraphs(self.graph_vector(objects, relations, graphs), dense, there)


class GraphConditioning(AlignedGraphEncoder):
    """Graphs and the text states of their objects' labels → the context of the UNet.

    `config` as for `AlignedGraphEncoder`, with `context_dim`, the width of the UNet's context, and `mode` as for
    `GraphSignal`. Of its own, a file says besides in `unet` what of the UNet was trained along.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        host: dict[str, Any] = {"operations": operations, "dtype": dtype, "device": device}
        super().__init__(config, **host)
        self.signal = GraphSignal(
            config["joint_dim"], config["graph_dim"], config["context_dim"], config["mode"], **host
        )

    def context(
        self, graphs: Sequence[SceneGraph], features: Sequence[Features], states: Tensor, ends: Tensor
    ) -> Tensor:
        """The context [B, L, D] of some graphs with the features of each.

        `states` [B, L, D] are those of the texts that `labels` makes of the graphs, `ends` [B] the places of their
        end-of-text tokens.
        """
        batch = graph_batch(graphs, features).to(states.device)
        return self.signal(states, ends, self.encode(batch))
