"""The base that adapters are trained on: SG-Mini, or any Stable Diffusion 2.x or 1.x.

All go through the same classes: CLIP text model (its last layer left out where the UNet is conditioned on the
penultimate one, as Stable Diffusion 2's is), UNet, autoencoder, and a noise schedule whose prediction type decides what
the UNet learns to say.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from train.bases.clip_tokenizer import token_ids

DOWNSAMPLING = 8  # of latents against pictures


@dataclass
class BaseModel:
    """A frozen base. `name` is what adapter files call it."""

    name: str
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderTiny | AutoencoderKL
    scheduler: DDIMScheduler
    pad_id: int = 0  # what fills a prompt up to 77 tokens

    @property
    def prediction_type(self) -> str:
        """`epsilon` or `v_prediction`, from the schedule's own configuration."""
        return self.scheduler.config["prediction_type"]

    @property
    def side(self) -> int:
        """Of its pictures, in pixels."""
        return self.unet.config["sample_size"] * DOWNSAMPLING

    @property
    def device(self) -> torch.device:
        return self.unet.device

    def to(self, device: torch.device | str) -> "BaseModel":
        for part in (self.text_encoder, self.unet, self.vae):
            part.to(device)
        return self

    def freeze(self) -> "BaseModel":
        """Leaves no parameter that could be trained; returns this base."""
        for part in (self.text_encoder, self.unet, self.vae):
            part.requires_grad_(False).eval()
        return self

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> Tensor:
        """What the UNet's cross-attention sees: [B, 77, D]."""
        return self.text_encoder(self._ids(prompts).to(self.text_encoder.device)).last_hidden_state

    @torch.no_grad()
    def encode_with_ends(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """As `encode_prompts`, with the place of each text's end-of-text token: [B, 77, D] and [B]."""
        ids = self._ids(texts)
        states = self.text_encoder(ids.to(self.text_encoder.device)).last_hidden_state  # [B, 77, D]
        return states, (ids == self.tokenizer.eos_token_id).int().argmax(dim=1)

    def encode_phrases(self, phrases: list[str]) -> Tensor:
        """CLIP phrase vectors [P, D]: each phrase's hidden state at its end-of-text position."""
        states, ends = self.encode_with_ends(phrases)
        return states[torch.arange(len(phrases)), ends]

    @torch.no_grad()
    def encode_pictures(self, pictures: np.ndarray) -> Tensor:
        """Pictures, uint8 [B, H, W, 3] → scaled latents [B, 4, H/8, W/8].

        Bytes, because of numbers nobody can tell whether [0, 1] or [-1, 1] is meant: a bright photograph has no value
        below 0 in either. Raises `TypeError` for anything else.
        """
        if pictures.dtype != np.uint8:
            raise TypeError(f"pictures must be bytes (uint8, 0 to 255); these are {pictures.dtype}")
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1  # [B, 3, H, W] in [-1, 1]
        encoded = self.vae.encode(x.to(self.vae.device, self.vae.dtype))
        latents = encoded.latents if isinstance(self.vae, AutoencoderTiny) else encoded.latent_dist.sample()
        return latents * self.vae.config["scaling_factor"]

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents → pictures [B, 3, H, W] in [0, 1]; gradients pass."""
        return (self.vae.decode(latents / self.vae.config["scaling_factor"]).sample / 2 + 0.5).clamp(0, 1)

    def predict(self, noisy: Tensor, timesteps: Tensor, context: Tensor, **conditions: Any) -> Tensor:
        """What the UNet says of noisy latents [B, 4, h, w] at timesteps [B] or one, with a context [B, 77, D].

        `conditions` are whatever else its forward takes: a ControlNet's residuals, grounding tokens.
        """
        return predict(self.unet, noisy, timesteps, context, **conditions)

    def add_noise(
        self, latents: Tensor, generator: torch.Generator, timestep_power: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A training example from clean latents: noisy latents, timesteps [B], and what the UNet should say.

        Timesteps are T·u^power for uniform u: 1 treats them alike, less than 1 prefers the noisy ones.
        """
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        uniform = torch.rand(len(latents), generator=generator, device=latents.device)
        count = self.scheduler.config["num_train_timesteps"]
        timesteps = (uniform**timestep_power * count).long().clamp(max=count - 1)  # roots of what is just below 1 are 1
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        return noisy, timesteps, training_target(self.scheduler, latents, noise, timesteps)

    def vae_fingerprint(self) -> str:
        """SHA-256 of the autoencoder's weights but its decoder's: latents belong to one encoder alone."""
        parts = [self.vae.encoder] if isinstance(self.vae, AutoencoderTiny) else [self.vae.encoder, self.vae.quant_conv]
        return weights_fingerprint(nn.ModuleList(part for part in parts if part is not None))

    def _ids(self, texts: list[str]) -> Tensor:
        return token_ids(self.tokenizer, texts, self.pad_id)


def weights_fingerprint(module: nn.Module) -> str:
    """SHA-256 of a module's weights, the same in whichever precision they are kept without loss."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def predict(unet: UNet2DConditionModel, noisy: Tensor, timesteps: Tensor, context: Tensor, **conditions: Any) -> Tensor:
    """The one place that calls a UNet: see `BaseModel.predict`."""
    return unet(noisy, timesteps, encoder_hidden_states=context, **conditions).sample


def training_target(scheduler: DDIMScheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """The target that belongs to the schedule's prediction type."""
    kind = scheduler.config["prediction_type"]
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    raise ValueError(f"the schedule predicts {kind!r}; epsilon and v_prediction are known")
