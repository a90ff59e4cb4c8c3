"""Graph conditioning: the context is made of the graph's vector and of its objects' labels, instead of a caption.

"Image Synthesis with Graph Conditioning" (arXiv 2401.14111), for a base whose UNet was trained along.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sg_models.adapters.graph_conditioning import GraphConditioning
from sg_models.adapters.phrase_features import EncodeGraphs
from sg_models.graph.caption import labels
from sg_models.graph.scene_graph import SceneGraph
from train.bases.base_model import BaseModel
from train.conditioning.conditioners import CAPTION_GUIDANCE, Conditions


class GraphConditioningConditioner:
    """The negative half has the empty text, and the learned vector of "no graph" in the places of the graph's."""

    guidance, uses_boxes = CAPTION_GUIDANCE, False

    def __init__(self, base: BaseModel, adapter: GraphConditioning, encode: EncodeGraphs) -> None:
        self.base, self.adapter, self.encode = base, adapter, encode

    @torch.no_grad()
    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions:
        return Conditions(self.context(graphs), self.no_graph().expand(len(graphs), -1, -1))

    @torch.no_grad()
    def context(self, graphs: Sequence[SceneGraph]) -> Tensor:
        """The context that the UNet gets for graphs: [B, 77, D]."""
        states, ends = self.base.encode_with_ends([labels(graph) for graph in graphs])
        return self.adapter.context(graphs, self.encode(graphs), states, ends)

    @torch.no_grad()
    def no_graph(self) -> Tensor:
        """The context of "no graph": [1, 77, D]."""
        return self.adapter.signal.without_graph(*self.base.encode_with_ends([""]))

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        """Nothing is said of places: the noise alone decides."""
        return list(graphs)

    def check_fits(self, graph: SceneGraph) -> None:
        """Of labels that are longer than CLIP reads the rest is lost; the graph's vector has all of them."""
