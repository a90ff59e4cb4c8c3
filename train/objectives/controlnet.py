"""Variants (iii) and (iv): a ControlNet on scene layouts, made with the true boxes.

The graph encoder and the layout, pretrained by `train_layout.py`, learn along, and stay a layout: what that was
pretrained on is kept as a second loss.
"""

from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.phrase_features import EncodeGraphs
from sg_models.layers.graph_batch import GraphBatch
from train.bases.base_model import BaseModel
from train.bases.dry_run import Plan
from train.bases.empty_base import EmptyBase
from train.conditioning.conditioners import GRAPH_PROMPT, LayoutConditioner, controlnet_arguments
from train.data.graph_samples import GraphSamples, SampleBatch
from train.losses.layout_losses import box_figures
from train.objectives.graph_objective import GraphObjective
from train.objectives.layout import LayoutLosses, LayoutSizes, adapter_sizes

LAYOUT_WEIGHT = 0.1
LAYOUT_SPEED = 0.2  # the pretrained layout learns this much slower than the new ControlNet


class ControlNetDenoiser(nn.Module):
    """The frozen UNet with a ControlNet that is given layouts; the UNet is no submodule, so it is not trained."""

    def __init__(self, base: BaseModel, adapter: LayoutAdapter) -> None:
        super().__init__()
        self.layout = LayoutLosses(adapter, (base.unet.config["sample_size"],) * 2)
        self.controlnet = new_controlnet(base.unet, adapter)
        self._base = (base,)  # in a tuple, where nn.Module does not look

    def forward(
        self, noisy: Tensor, timesteps: Tensor, context: Tensor, graphs: GraphBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """noisy [B, 4, H, W], context [B, 77, D] → the UNet's prediction, and the layout's losses by name."""
        losses, layout = self.layout(graphs)
        arguments = controlnet_arguments(self.controlnet, layout.control)(noisy, timesteps, context)
        return self._base[0].predict(noisy, timesteps, context, **arguments), losses


class ControlNetObjective(GraphObjective):
    """Denoising with layouts, and the layout itself."""

    other_weight = LAYOUT_WEIGHT
    has_null = False

    def __init__(self, base: BaseModel, validation: GraphSamples, encode: EncodeGraphs, **settings: float) -> None:
        super().__init__(base, validation, **settings)
        self.encode, self.prompt = encode, base.encode_prompts([GRAPH_PROMPT])

    def predict(
        self, model: ControlNetDenoiser, noisy: Tensor, timesteps: Tensor, batch: SampleBatch
    ) -> tuple[Tensor, Tensor]:
        predicted, losses = model(noisy, timesteps, self.prompt.expand(len(noisy), -1, -1), batch.encoded)
        return predicted, torch.stack(list(losses.values())).sum()

    def conditioner(self, model: ControlNetDenoiser) -> LayoutConditioner:
        return LayoutConditioner(self.base, model.layout.adapter, model.controlnet, self.encode)

    def other_figures(self, model: ControlNetDenoiser) -> dict[str, float]:
        """Of boxes predicted for graphs without any."""
        bare = self.validation.without_boxes().to(self.base.device)
        return box_figures(model.layout.adapter.predict_boxes(bare), bare)


def new_controlnet(unet: UNet2DConditionModel, layout: LayoutAdapter) -> ControlNetModel:
    """A ControlNet that starts from the UNet's weights, and keeps activations or not as the UNet does."""
    controlnet = ControlNetModel.from_unet(unet, conditioning_channels=layout.config["channels"])
    if unet.is_gradient_checkpointing:
        controlnet.enable_gradient_checkpointing(unet.down_blocks[0]._gradient_checkpointing_func)
    return controlnet


def parameter_groups(model: ControlNetDenoiser, learning_rate: float) -> list[dict[str, Any]]:
    """The ControlNet, and the pretrained layout."""
    return [
        {"params": list(model.controlnet.parameters())},
        {"params": list(model.layout.parameters()), "lr": LAYOUT_SPEED * learning_rate},
    ]


def make_plan(sizes: object, base: EmptyBase) -> Plan:
    """For `--dry-run`; of the layout, which is small beside the ControlNet, the default sizes are taken."""
    layout = LayoutAdapter(adapter_sizes(LayoutSizes(), base.context_dim))
    controlnet = new_controlnet(base.unet, layout)

    def forward(count: int) -> Tensor:
        noisy, timesteps, context = base.inputs(count)
        control = torch.empty(count, layout.config["channels"], base.latent_side, base.latent_side)
        arguments = controlnet_arguments(controlnet, control)(noisy, timesteps, context)
        return base.predict(noisy, timesteps, context, **arguments)

    return Plan(nn.ModuleList([layout, controlnet]), forward)
