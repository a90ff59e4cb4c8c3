"""The sizes of a base without its weights, for a dry run."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from train.bases.base_model import DOWNSAMPLING, predict


@dataclass(frozen=True)
class EmptyBase:
    """A base of meta tensors."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    vae: AutoencoderKL | AutoencoderTiny

    @property
    def latent_side(self) -> int:
        return self.unet.config["sample_size"]

    @property
    def side(self) -> int:
        """Of its pictures, in pixels."""
        return self.latent_side * DOWNSAMPLING

    @property
    def context_dim(self) -> int:
        return self.unet.config["cross_attention_dim"]

    def inputs(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy latents [B, 4, h, w], timesteps [B] and context [B, 77, D]."""
        length = self.text_encoder.config.max_position_embeddings
        channels, side = self.unet.config["in_channels"], self.latent_side
        # of what is checkpointed autograd keeps the inputs, where it sees that these need gradients
        noisy = torch.empty(count, channels, side, side, requires_grad=self.unet.is_gradient_checkpointing)
        return noisy, torch.ones(count), torch.empty(count, length, self.context_dim)

    def predict(self, noisy: Tensor, timesteps: Tensor, context: Tensor, **conditions: object) -> Tensor:
        """As `BaseModel.predict`."""
        return predict(self.unet, noisy, timesteps, context, **conditions)
