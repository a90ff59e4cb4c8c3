"""What variants (iii) and (iv) have besides their ControlNet: graph encoder and layout predictor in one module.

Its state dict is the adapter file's tensors under `graph_encoder.` and `layout.`, name for name.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..graph.scene_graph import SceneGraph, SceneGraphError
from ..layers.box_predictor import BoxPredictor, keep_given
from ..layers.graph_batch import GraphBatch, graph_batch
from ..layers.graph_encoder import GraphEncoder
from ..layers.layout import Layout, LayoutPredictor
from .adapter import Adapter, build_module
from .phrase_features import Features
from .variants import LAYOUT_CONTROLNET

CONTROLNET = "controlnet."  # the prefix of the ControlNet's tensors, under LDM's names


def build_layout_adapter(file: Adapter, assign: bool = False, **host: Any) -> "LayoutAdapter":
    """The layout half of an adapter file of kind `layout-controlnet`, with its weights.

    `assign` as for `build_module`, `host` as for `LayoutAdapter`. Raises `AdapterError` where the file's configuration
    or tensors do not make such a module.
    """
    file.check_kind(LAYOUT_CONTROLNET)
    tensors = {name: tensor for name, tensor in file.state_dict.items() if not name.startswith(CONTROLNET)}
    return build_module(file, functools.partial(LayoutAdapter, file.config), tensors, assign, **host)


class LayoutAdapter(nn.Module):
    """Graphs → layouts.

    `config`: `phrase_dim`, `graph_dim`, `graph_hidden`, `graph_layers`, `box_layers`, `objects` (the most of a graph),
    `layout_width` and `channels`, those of the map that the ControlNet is given.
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
        self.layout = LayoutPredictor(
            config["graph_dim"],
            config["graph_hidden"],
            config["box_layers"],
            config["objects"],
            config["phrase_dim"],
            config["layout_width"],
            config["channels"],
            **host,
        )

    @property
    def box_predictor(self) -> BoxPredictor:
        """What places objects without a box; adapter files call it `layout.box`."""
        return self.layout.box

    def encode(self, graphs: GraphBatch) -> tuple[Tensor, Tensor]:
        """Features of a batch's objects [O, G] and of its relations [R, G]."""
        return self.graph_encoder(graphs.x, graphs.edge_attr, graphs.edge_index)

    def forward(self, graphs: GraphBatch, size: tuple[int, int]) -> Layout:
        """A batch of graphs → its layout, with maps of `size` (h, w)."""
        objects, relations = self.encode(graphs)
        return self.layout(objects, relations, graphs, size)

    def predict_boxes(self, graphs: GraphBatch) -> Tensor:
        """A box for each object of a batch, the given ones kept: [O, 4]."""
        objects, relations = self.encode(graphs)
        return keep_given(self.box_predictor(objects, relations, graphs), graphs)

    def check_fits(self, graph: SceneGraph) -> None:
        """Raises `SceneGraphError` if the graph has more objects than the adapter can place."""
        most = self.config["objects"]
        if len(graph.objects) > most:
            raise SceneGraphError(
                f"the graph has {len(graph.objects)} objects, and this adapter takes at most {most}; "
                f"remove {len(graph.objects) - most}"
            )

    def layouts(self, graphs: Sequence[SceneGraph], features: Sequence[Features], size: tuple[int, int]) -> Layout:
        """The layout of some graphs with the features of each; boxes that a graph gives are kept.

        Raises `SceneGraphError` for a graph with too many objects.
        """
        for graph in graphs:
            self.check_fits(graph)
        return self(graph_batch(graphs, features).to(self.layout.background.device), size)
