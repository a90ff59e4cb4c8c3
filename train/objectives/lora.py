"""Variant (ii): a LoRA of the UNet on Structure-CLIP embeddings of captions."""

from typing import Protocol

import torch
from torch import Tensor, nn

from train.bases.base_model import BaseModel, predict
from train.bases.dry_run import Plan
from train.bases.empty_base import EmptyBase
from train.conditioning.conditioners import StructureClipConditioner
from train.conditioning.lora import inject
from train.data.graph_samples import GraphSamples, SampleBatch
from train.losses.denoising import MAX_WEIGHT
from train.objectives.graph_objective import GraphObjective

EMPTY_RATE = 0.10


class LoraSizes(Protocol):
    """Options of a LoRA's size."""

    rank: int


class LoraDenoiser(nn.Module):
    """The frozen UNet with a LoRA in it, which is trained."""

    def __init__(self, base: BaseModel | EmptyBase, rank: int) -> None:
        super().__init__()
        inject(base.unet, rank)
        self.unet = base.unet

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """noisy [B, 4, H, W], context [B, 77, D] → the UNet's prediction."""
        return predict(self.unet, noisy, timesteps, context)


class LoraObjective(GraphObjective):
    """Denoising with the context that Structure-CLIP makes of a graph."""

    max_weight = MAX_WEIGHT

    def __init__(
        self, base: BaseModel, validation: GraphSamples, condition: StructureClipConditioner, **settings: float
    ) -> None:
        super().__init__(base, validation, **settings)
        self.condition, self.empty = condition, base.encode_prompts([""])

    def predict(self, model: LoraDenoiser, noisy: Tensor, timesteps: Tensor, batch: SampleBatch) -> tuple[Tensor, None]:
        context = torch.where(batch.is_null[:, None, None], self.empty, self.condition.context(batch.graphs))
        return model(noisy, timesteps, context), None

    def conditioner(self, model: LoraDenoiser) -> StructureClipConditioner:
        return self.condition


def make_plan(sizes: LoraSizes, base: EmptyBase) -> Plan:
    """For `--dry-run`."""
    model = LoraDenoiser(base, sizes.rank)
    return Plan(model, lambda count: model(*base.inputs(count)))
