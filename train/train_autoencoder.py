"""Trains SG-Mini's autoencoder on Shapes: TAESD's architecture, L1 and L2, latents of unit scale.

    python train/train_autoencoder.py

It is convolutional, so it learns on small crops. Noise on the latents makes both halves forgive the errors of a
diffusion model: colours come to lie far apart, and a picture stands where its latents are off by a fifth.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import read_weights, write_weights
from sg_models.verification.shapes.silhouettes import COLOURS, SIDE
from train.bases.sg_mini_checkpoint import is_sg_mini, load_sg_mini
from train.data.dataset import TRAIN, VALIDATION
from train.data.graph_samples import sample_rng
from train.data.shapes.scene import relation_between
from train.data.shapes.shapes_dataset import ShapesSplit
from train.data.spatial_relations import INSIDE
from train.report.picture_grid import save_grid
from train.running.command_line import run
from train.running.loop import LoopConfig, train

SQUARED_WEIGHT = 4.0
WINDOWS = 0  # what a sample's random numbers are for, beside other scripts' uses of the same index


@dataclass
class Config(LoopConfig):
    steps: int = 8000
    batch_size: int = 16
    learning_rate: float = 1e-3
    ema_decay: float = 0.995
    run_dir: Path = Path("runs/autoencoder")
    preview_every: int = 1000
    pictures: int = 6000
    """training pictures, rendered before the start"""
    crop: int = 48
    nested_rate: float = 0.7
    """of the windows are around an object inside another: the hardest thing to keep"""
    latent_noise: float = 0.35
    """the largest standard deviation, in units of the latents' own, so that stretching them does not outshout it; each
    window has one between 0 and this"""
    scale_weight: float = 0.2
    """of the latents' distance from zero mean and unit scale"""
    init_from: Path | None = None
    """what this script wrote, or a checkpoint of SG-Mini, to start from; without one, a fresh autoencoder"""
    decoder_only: bool = False
    """leave the encoder as it is, so that latents, and what was trained on them, stay good"""
    out: Path = Path("runs/autoencoder/autoencoder.safetensors")


@dataclass(frozen=True)
class Windows:
    """B parts of pictures."""

    pictures: Tensor  # [B, 3, C, C] in [-1, 1]
    weights: Tensor  # [B], how much each counts


class Crops:
    """Windows of Shapes pictures by sample index, each with some object in it: plain background teaches nothing.

    One around an object inside another counts the more, the less the two differ in colour: a purple star in blue is to
    keep its shape as well as a yellow one in black.
    """

    def __init__(self, split: ShapesSplit, crop: int, nested_rate: float, seed: int = 0) -> None:
        self.crop, self.nested_rate, self.seed = crop, nested_rate, seed
        scenes = split.scenes
        self.pictures = as_tensor(split)
        self.things = [(i, thing, 1.0) for i, s in enumerate(scenes) for thing in s.objects]
        self.nested = [
            (i, thing, MEAN_CONTRAST / contrast(thing.colour, other.colour))
            for i, thing, _ in self.things
            for other in scenes[i].objects
            if relation_between(thing, other) == INSIDE
        ]

    def __call__(self, indices: Sequence[int]) -> Windows:
        """The windows of some indices, which count up without end."""
        pictures, weights = zip(*(self._window(sample_rng(i, WINDOWS, self.seed)) for i in indices), strict=True)
        scaled = torch.stack(pictures).float() / 127.5 - 1
        return Windows(scaled.to(memory_format=torch.channels_last), torch.tensor(weights))

    def _window(self, rng: np.random.Generator) -> tuple[Tensor, float]:
        pool = self.nested if self.nested and rng.random() < self.nested_rate else self.things
        which, thing, weight = pool[int(rng.integers(len(pool)))]
        half, reach = self.crop / 2, self.crop / 4
        x, y = (int(np.clip(v + rng.uniform(-reach, reach) - half, 0, SIDE - self.crop)) for v in (thing.x, thing.y))
        return self.pictures[which, :, y : y + self.crop, x : x + self.crop], weight


def contrast(colour: str, other: str) -> float:
    """How much two colours differ: the sum of their channels' differences, in grey levels."""
    return float(np.abs(np.subtract(COLOURS[colour], COLOURS[other])).sum())


MEAN_CONTRAST = float(np.mean([contrast(*pair) for pair in itertools.combinations(COLOURS, 2)]))


class NoisyAutoencoder(nn.Module):
    """The autoencoder as it is trained: with noise on its latents."""

    def __init__(self, autoencoder: AutoencoderTiny, noise: float) -> None:
        super().__init__()
        self.autoencoder, self.noise = autoencoder, noise

    def forward(self, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Pictures [B, 3, H, W] in [-1, 1] → latents [B, 4, H/8, W/8], reconstruction; no generator, no noise."""
        z = self.autoencoder.encode(x).latents.float()
        noisy = z
        if generator is not None:
            level = self.noise * torch.rand(len(z), 1, 1, 1, generator=generator, device=z.device)
            noisy = z + level * z.std() * torch.randn(z.shape, generator=generator, device=z.device)
        return z, self.autoencoder.decode(noisy).sample.float()


def read_autoencoder(path: Path) -> AutoencoderTiny:
    """SG-Mini's autoencoder from a file of its own, or from a checkpoint."""
    if is_sg_mini(path):
        return load_sg_mini(path).vae
    autoencoder = AutoencoderTiny(**sg_mini.AUTOENCODER)
    autoencoder.load_state_dict(read_weights(path)[0])
    return autoencoder


def as_tensor(split: ShapesSplit) -> Tensor:
    """The pictures of a split: uint8 [count, 3, 128, 128]."""
    pictures = split.pictures(range(len(split.scenes)), SIDE)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def loss(
    model: nn.Module, batch: Windows, generator: torch.Generator, step: int, scale_weight: float
) -> tuple[Tensor, dict[str, float]]:
    x, weights = batch.pictures.to(generator.device), batch.weights.to(generator.device)
    z, reconstruction = model(x, generator)
    difference = reconstruction - x
    # L1 alone is content with the background: most pixels are, so it is every pixel's median
    error = (difference.abs() + SQUARED_WEIGHT * difference.square()).mean(dim=(1, 2, 3))  # [B]
    figures = {"l1": difference.abs().mean().item(), "scale": z.std().item()}
    return (weights * error).mean() + scale_weight * deviation(z), figures


def deviation(z: Tensor) -> Tensor:
    """How far latents [B, 4, h, w] are from zero mean and unit scale, each channel by itself."""
    return z.mean((0, 2, 3)).square().mean() + (z.std((0, 2, 3)) - 1).square().mean()


def main(config: Config) -> None:
    crops = Crops(ShapesSplit(TRAIN, config.pictures), config.crop, config.nested_rate, config.seed)
    validation = as_tensor(ShapesSplit(VALIDATION, 16)).float() / 127.5 - 1
    torch.manual_seed(config.seed)
    autoencoder = read_autoencoder(config.init_from) if config.init_from else AutoencoderTiny(**sg_mini.AUTOENCODER)
    if config.decoder_only:
        autoencoder.encoder.requires_grad_(False)
    autoencoder.to(memory_format=torch.channels_last)

    def report(model: nn.Module) -> dict[str, float]:
        x = validation.to(next(model.parameters()).device)
        return {"val l1": (model(x, None)[1] - x).abs().mean().item()}

    def preview(model: nn.Module, path: Path) -> None:
        x = validation.to(next(model.parameters()).device)
        save_grid((torch.cat([x, model(x, None)[1]]) / 2 + 0.5).clamp(0, 1), f"{path}.png")

    model = NoisyAutoencoder(autoencoder, config.latent_noise)
    train(config, model, partial(loss, scale_weight=config.scale_weight), crops, preview=preview, report=report)
    write_weights(config.out, autoencoder.state_dict(), {})


if __name__ == "__main__":
    run(main, Config)
