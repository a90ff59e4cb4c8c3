"""GLIGEN's public weights: tokens from phrases and boxes, with an adapter that is attached to the base's UNet."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sg_models.adapters.gligen_adapter import END, GligenAdapter
from sg_models.adapters.phrase_features import EncodeGraphs
from sg_models.graph.caption import caption
from sg_models.graph.scene_graph import SceneGraph
from sg_models.graph.visible_boxes import check_visible
from train.bases.base_model import BaseModel
from train.conditioning.conditioners import Conditions
from train.conditioning.grounded_unet import token_arguments
from train.conditioning.influence import Influence, while_it_acts

GUIDANCE = 7.5  # what GLIGEN's authors and diffusers draw with


class GligenConditioner:
    """The caption names every object and relation; boxes and phrases go through GLIGEN's layers until `END`.

    The negative half has the null tokens. With `masks` a token is seen from inside its box alone, as in variants (v) to
    (vii); GLIGEN was not trained so.
    """

    guidance, uses_boxes = GUIDANCE, True
    influence = Influence()

    def __init__(self, base: BaseModel, adapter: GligenAdapter, encode: EncodeGraphs, masks: bool = False) -> None:
        self.base, self.adapter, self.encode, self.masks = base, adapter, encode, masks

    @torch.no_grad()
    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions:
        positive = self.base.encode_prompts([caption(graph) for graph in graphs])
        negative = self.base.encode_prompts([""]).expand(len(graphs), -1, -1)
        tokens = self.adapter.tokens(graphs, self.encode(graphs))
        both = torch.cat([tokens, self.adapter.null_tokens(len(graphs))])

        def grounded(noisy: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Any]:
            for graph in graphs:
                check_visible(graph, (noisy.shape[-2], noisy.shape[-1]), "GLIGEN needs")
            return token_arguments(both, noisy, self.influence.strength, masked=self.masks)

        return Conditions(positive, negative, while_it_acts(grounded, self.influence.with_end(END)))

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        """Boxes come with the graphs: nothing is predicted."""
        return list(graphs)

    def check_fits(self, graph: SceneGraph) -> None:
        """Raises `SceneGraphError` for too many objects, and for one without a box."""
        self.adapter.check_fits(graph)
