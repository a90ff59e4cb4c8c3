"""Trains SG-Mini's autoencoder on Shapes: TAESD's architecture, L1 and L2, latents of unit scale.

    python train/train_autoencoder.py

It is convolutional, so it learns on crops of 64 pixels. Noise on the latents makes the decoder forgive the small errors
of a diffusion model, and keeps the latents from growing without bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from sg_models import sg_mini
from sg_models.safetensors_file import write_weights
from train.command_line import run
from train.loop import LoopConfig, train
from train.shapes import SIDE, Scene, ShapeObject, relation_between, render, scene, seeds
from train.spatial_relations import INSIDE

NESTED_RATE = 0.4  # of the windows are around an object inside another: the hardest thing to keep


@dataclass
class Config(LoopConfig):
    steps: int = 3000
    batch_size: int = 32
    learning_rate: float = 1e-3
    ema_decay: float = 0.995
    run_dir: Path = Path("runs/autoencoder")
    pictures: int = 6000
    """training pictures, rendered before the start"""
    crop: int = 48
    latent_noise: float = 0.05
    """standard deviation, in units of the latents' own"""
    out: Path = field(default_factory=lambda: Path("runs/autoencoder/autoencoder.safetensors"))


def render_all(scenes: list[Scene]) -> Tensor:
    """Pictures of scenes: uint8 [count, 3, 128, 128]."""
    pictures = [render(s) for s in tqdm(scenes, desc="rendering", mininterval=5)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def is_inside(thing: ShapeObject, other: ShapeObject) -> bool:
    return relation_between(thing, other) == INSIDE


def main(config: Config) -> None:
    scenes = [scene(seed) for seed in seeds("train", config.pictures)]
    pictures = render_all(scenes)
    things = [(i, thing) for i, s in enumerate(scenes) for thing in s.objects]
    nested = [(i, thing) for i, thing in things if any(is_inside(thing, other) for other in scenes[i].objects)]
    validation = render_all([scene(seed) for seed in seeds("val", 16)]).float() / 127.5 - 1
    model = AutoencoderTiny(**sg_mini.AUTOENCODER).to(memory_format=torch.channels_last)  # pyright: ignore

    def batch(indices: Sequence[int]) -> Tensor:
        crops = torch.stack([crop(np.random.default_rng(i)) for i in indices])
        return (crops.float() / 127.5 - 1).to(memory_format=torch.channels_last)  # [B, 3, C, C] in [-1, 1]

    def crop(rng: np.random.Generator) -> Tensor:
        """A window of a random picture with some object in it: plain background teaches nothing."""
        pool = nested if rng.random() < NESTED_RATE else things
        which, thing = pool[int(rng.integers(len(pool)))]
        reach = config.crop / 2
        x, y = (int(np.clip(v + rng.uniform(-reach, reach) - reach, 0, SIDE - config.crop)) for v in (thing.x, thing.y))
        return pictures[which, :, y : y + config.crop, x : x + config.crop]

    def loss(model: nn.Module, x: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        z = model.encode(x).latents.float()  # [B, 4, C/8, C/8]
        noisy = z + config.latent_noise * torch.randn(z.shape, generator=generator, device=z.device)
        difference = model.decode(noisy).sample.float() - x
        # L1 alone is content with the background: most pixels are, so it is every pixel's median
        reconstruction = difference.abs().mean() + 4 * difference.square().mean()
        deviation = z.mean((0, 2, 3)).square().mean() + (z.std((0, 2, 3)) - 1).square().mean()
        figures = {"l1": difference.abs().mean().item(), "scale": z.std().item()}
        return reconstruction + 0.02 * deviation, figures

    def preview(model: nn.Module, path: Path) -> None:
        x = validation.to(next(model.parameters()).device)
        y = model.decode(model.encode(x).latents).sample.clamp(-1, 1)
        sheet = torch.cat([torch.cat(list(v), dim=2) for v in (x[:8], y[:8], x[8:], y[8:])], dim=1)
        Image.fromarray(((sheet + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()).save(f"{path}.png")

    def report(model: nn.Module) -> dict[str, float]:
        x = validation.to(next(model.parameters()).device)
        return {"val l1": (model.decode(model.encode(x).latents).sample - x).abs().mean().item()}

    model = train(config, model, loss, batch, preview=preview, report=report)
    write_weights(config.out, model.state_dict(), {})


if __name__ == "__main__":
    run(main, Config)
