"""Trains SG-Mini's UNet on Shapes latents and captions, and writes the whole base as one checkpoint.

    python train/train_text_encoder.py && python train/train_autoencoder.py && python train/train_base.py

Epsilon prediction on Stable Diffusion's noise schedule; one caption in ten is empty, one in twenty says "an image".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import write_weights
from train.bases.attention import train_attention
from train.bases.base_model import BaseModel, predict
from train.bases.model_folders import CHECKPOINTS
from train.bases.sg_mini_checkpoint import load_sg_mini, sg_mini_tensors
from train.conditioning.conditioners import GRAPH_PROMPT, CaptionConditioner
from train.conditioning.sampling import draw_graphs, starting_noise
from train.data.dataset import TRAIN, VALIDATION
from train.data.graph_samples import sample_rng
from train.data.latents import split_latents
from train.data.shapes.scene import Scene, web_caption
from train.data.shapes.shapes_dataset import ShapesSplit
from train.losses.denoising import diffusion_loss
from train.report.picture_grid import save_grid
from train.running.command_line import run
from train.running.loop import LoopConfig, train

EMPTY_RATE = 0.10
BARE_RATE = 0.05
CAPTIONS = 11  # what a sample's random numbers are for, beside other scripts' uses of the same index


@dataclass
class Config(LoopConfig):
    steps: int = 9000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 200
    run_dir: Path = Path("runs/base")
    preview_every: int = 1000
    pictures: int = 20000
    """training pictures, encoded before the start"""
    latents_dir: Path = Path("runs/latents")
    text_encoder: Path = Path("runs/text_encoder/text_encoder.safetensors")
    autoencoder: Path = Path("runs/autoencoder/autoencoder.safetensors")
    init_from: Path | None = None
    """a checkpoint whose UNet to start from; without one, a fresh UNet"""
    out: Path = CHECKPOINTS / sg_mini.CHECKPOINT


class Denoiser(nn.Module):
    """The UNet, called as everywhere."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """noisy [B, 4, H, W], context [B, 77, D] → the UNet's prediction."""
        return predict(self.unet, noisy, timesteps, context)


def assemble(config: Config) -> tuple[BaseModel, CLIPTextModelWithProjection, AutoencoderTiny]:
    """A base with an untrained UNet, read back from the checkpoint this script will write; and its trained parts."""
    text_encoder = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
    text_encoder.load_state_dict(load_file(config.text_encoder))
    autoencoder = AutoencoderTiny(**sg_mini.AUTOENCODER)
    autoencoder.load_state_dict(load_file(config.autoencoder))
    torch.manual_seed(config.seed)
    if config.init_from:
        unet = load_sg_mini(config.init_from).unet
    else:
        unet = UNet2DConditionModel(**sg_mini.UNET)
    start = config.run_dir / "start.safetensors"
    write_weights(start, half(sg_mini_tensors(text_encoder, unet, autoencoder)), {})
    return load_sg_mini(start), text_encoder, autoencoder.eval()


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in tensors.items()}


def training_caption(scene: Scene, rng: np.random.Generator) -> str:
    """The prompt that the UNet gets for a scene in training."""
    choice = rng.random()
    if choice < EMPTY_RATE:
        return ""
    return GRAPH_PROMPT if choice < EMPTY_RATE + BARE_RATE else web_caption(scene, rng)


def main(config: Config) -> None:
    base, text_encoder, autoencoder = assemble(config)
    base.to(PartialState().device)
    split = ShapesSplit(TRAIN, config.pictures)
    latents, scenes = split_latents(base, split, config.latents_dir), split.scenes
    shown = ShapesSplit(VALIDATION, 16).graphs
    base.freeze()
    model = Denoiser(base.unet.requires_grad_(True).train())
    train_attention(base.unet)

    def batch(indices: Sequence[int]) -> tuple[Tensor, list[str]]:
        rngs = [sample_rng(i, CAPTIONS, config.seed) for i in indices]
        which = [int(rng.integers(len(scenes))) for rng in rngs]
        return latents[which], [training_caption(scenes[w], rng) for w, rng in zip(which, rngs, strict=True)]

    def loss(
        model: nn.Module, pair: tuple[Tensor, list[str]], generator: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        x, captions = pair
        noisy, timesteps, target = base.add_noise(x.to(base.device), generator)
        predicted = model(noisy, timesteps, base.encode_prompts(captions))
        return diffusion_loss(base, predicted, target, timesteps), {}

    def preview(model: nn.Module, path: Path) -> None:
        noise = starting_noise(base, 0, len(shown))
        save_grid(draw_graphs(base, CaptionConditioner(base), shown, noise), f"{path}.png")

    train(config, model, loss, batch, preview=preview)
    write_weights(
        config.out, half(sg_mini_tensors(text_encoder, base.unet, autoencoder)), {"modelspec.title": "SG-Mini"}
    )


if __name__ == "__main__":
    run(main, Config)
