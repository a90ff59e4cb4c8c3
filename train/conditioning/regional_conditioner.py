"""Regional prompts: every object's phrase is read inside its box, the prompt of a variant everywhere else."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sg_models.graph.caption import with_article
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from sg_models.graph.visible_boxes import check_visible
from train.bases.base_model import BaseModel
from train.conditioning.conditioners import Conditioner, Conditions
from train.conditioning.influence import Influence
from train.conditioning.regional_unet import Regions, attach_regions, finest_attended, region_arguments

NO_BOX = (
    "regional prompts need a box for at least one object, and this graph has none; write boxes into it, or have it "
    "arranged"
)


class RegionalConditioner:
    """A variant's own conditions with regions added, on the base that it was loaded into.

    Objects without a box are left to the prompt. `base_weight` as for `region_weights`; the influence is that of the
    regions alone.
    """

    uses_boxes = True

    def __init__(
        self, base: BaseModel, variant: Conditioner, base_weight: float, influence: Influence | None = None
    ) -> None:
        self.base, self.variant, self.base_weight = base, variant, base_weight
        self.influence = influence or Influence()
        self.guidance = variant.guidance
        attach_regions(base.unet)

    def __call__(self, graphs: Sequence[SceneGraph]) -> Conditions:
        plain = self.variant(graphs)
        contexts, boxes = self.regions(graphs)

        def arguments(noisy: Tensor, timestep: Tensor, context: Tensor) -> dict[str, Any]:
            others = plain.unet_arguments(noisy, timestep, context)
            if not self.influence.acts_at(timestep):
                return others
            size = (noisy.shape[-2], noisy.shape[-1])
            finest = finest_attended(self.base.unet, size)
            for graph in graphs:
                check_visible(graph, finest, "regional prompts need")
            return region_arguments(Regions(contexts, boxes, self.base_weight, self.influence.strength, size), others)

        return Conditions(plain.positive, plain.negative, arguments)

    def regions(self, graphs: Sequence[SceneGraph]) -> tuple[Tensor, Tensor]:
        """Phrases [B, R, 77, D] and boxes [B, R, 4] of the objects that have one, empty where a graph has fewer."""
        placed = [[thing for thing in graph.objects if thing.box is not None] for graph in graphs]
        states = self.base.encode_prompts([with_article(thing.phrase) for things in placed for thing in things])
        boxes = [torch.tensor([thing.box for thing in things], device=self.base.device) for things in placed]
        contexts = states.split([len(things) for things in placed])
        return pad_sequence(contexts, batch_first=True), pad_sequence(boxes, batch_first=True)

    def vary(self, graphs: Sequence[SceneGraph], seeds: Sequence[int]) -> list[SceneGraph]:
        return self.variant.vary(graphs, seeds)

    def check_fits(self, graph: SceneGraph) -> None:
        if all(thing.box is None for thing in graph.objects):
            raise SceneGraphError(NO_BOX)
        self.variant.check_fits(graph)
