"""Trains an eye for noise: an encoder that sees in noisy latents what CLIP's picture tower sees in the clean picture.

    python train/train_picture_tower.py && python train/train_noised_clip.py
    python train/train_noised_clip.py --base sd21-base --dataset vg --data D --widths 64 128 256 256 \
        --picture-tower laion/CLIP-ViT-H-14-laion2B-s32B-b79K

Self-supervised (Liu et al. 2023): the encoder's embedding of a window of noised latents against the frozen tower's of
the same region of the picture, cut out a little otherwise, among all other windows of the batch; and, which the paper
has not, as near to it as may be (`--distil`), for texts are compared with both. No captions are read.
SG-Mini's file also holds the tower, for guidance that looks at the predicted clean picture instead; CLIP's own is left
where it is.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.noised_clip import CLEAN, NOISED
from sg_models.adapters.variants import CLIP, NOISED_CLIP, noised_clip_name
from sg_models.bases import sg_mini
from sg_models.guidance.eyes import ShapesTower, Tower
from sg_models.layers.noised_encoder import NoisedEncoder
from sg_models.layers.picture_tower import PictureTower
from train.bases.base_model import BaseModel
from train.bases.clip_towers import TransformersClip
from train.bases.load import BaseOptions, default_run_dir, load_base
from train.bases.model_folders import ADAPTERS
from train.data.dataset import VALIDATION, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.latents import Latents, split_latents
from train.losses.contrastive import contrastive_loss
from train.objectives.region_pairs import RegionBatch, RegionPairs
from train.running.command_line import UsageError, run
from train.running.loop import LoopConfig, train
from train.running.processes import this_process

PICTURES = 20000  # of Shapes, which has no end
VALIDATION_PICTURES = 128
SHOWN_TIMESTEPS = (100, 400, 700)


@dataclass
class Config(LoopConfig, BaseOptions, DatasetOptions):
    steps: int = 2000
    batch_size: int = 32
    learning_rate: float = 2e-3
    run_dir: Path | None = None
    """checkpoints and logs, runs/noised-clip, or runs/noised-clip-<base>, if left out"""
    pictures: int | None = None
    """training pictures; all that there are if left out, 20,000 of Shapes"""
    regions: int = 4
    """windows of each picture of a batch"""
    latents_dir: Path = Path("runs/latents")
    picture_tower: str = "runs/picture-tower/picture_tower.safetensors"
    """the teacher: what train_picture_tower.py wrote, or a folder or hub id with the whole CLIP of the base"""
    distil: float = 2.0
    """weight of one minus the cosine to the teacher's embedding, beside the contrastive loss"""
    widths: list[int] = field(default_factory=lambda: [64, 128, 128])
    """of the encoder's levels"""
    out: Path | None = None
    """the adapter file, models/scene_graph/noised-clip-<base>.safetensors if left out"""


@dataclass(frozen=True)
class Teacher:
    """A frozen picture tower with embeddings of `dim` numbers; `own` is what of it belongs into the file."""

    tower: Tower
    dim: int
    own: PictureTower | None


def load_teacher(source: str) -> Teacher:
    """The tower of a file of ours, or that of a CLIP of transformers; raises `UsageError` where there is none."""
    device = this_process().device
    if not source.endswith(".safetensors"):
        clip = TransformersClip(source).to(device)
        return Teacher(clip.picture, clip.dim, None)
    if not Path(source).exists():
        raise UsageError(f"there is no {source}; run train/train_picture_tower.py first")
    own = PictureTower(sg_mini.TEXT_MODEL["projection_dim"]).to(device)
    own.load_state_dict(load_file(source))
    return Teacher(ShapesTower(own.requires_grad_(False).eval()), own.project.out_features, own)


@dataclass
class NoisedClipObjective:
    """The student's embeddings of noised windows against the teacher's of clean ones."""

    base: BaseModel
    tower: Tower
    distil: float
    latents: Latents
    validation: RegionPairs
    validation_latents: Latents

    def loss(
        self, model: nn.Module, batch: RegionBatch, generator: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        clean = self.latents[batch.places].to(generator.device)
        noisy, timesteps, _ = self.base.add_noise(clean, generator)
        return self.contrast(model, batch, noisy, timesteps)

    def contrast(
        self, model: nn.Module, batch: RegionBatch, noisy: Tensor, timesteps: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        with torch.no_grad():
            teacher = self.tower.embed(batch.crops(batch.others, self.tower.side).to(noisy.device))
        student = model(noisy, timesteps, batch.windows, batch.picture_of.to(noisy.device))
        cosine = F.cosine_similarity(student, teacher).mean()
        same = torch.eye(len(teacher), dtype=torch.bool, device=noisy.device)
        value, accuracy = contrastive_loss(student, teacher, same)
        return value + self.distil * (1 - cosine), {"accuracy": accuracy, "cosine": cosine.item()}

    def report(self, model: nn.Module) -> dict[str, float]:
        """Of validation pictures, at a few timesteps."""
        batch, found = self.validation(range(VALIDATION_PICTURES)), {}
        clean = self.validation_latents[batch.places].to(next(model.parameters()).device)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).to(clean)
        for timestep in SHOWN_TIMESTEPS:
            timesteps = torch.full((len(clean),), timestep, device=clean.device)
            _, figures = self.contrast(model, batch, self.base.scheduler.add_noise(clean, noise, timesteps), timesteps)
            found |= {f"val {name} {timestep}": value for name, value in figures.items()}
        tqdm.write(", ".join(f"{name} {value:.3f}" for name, value in found.items()))
        return found


def main(config: Config) -> None:
    teacher = load_teacher(config.picture_tower)
    base = load_base(config.base, config.prediction_type).to(this_process().device).freeze()
    config.run_dir = config.run_dir or default_run_dir(NOISED_CLIP, base.name)
    data = open_dataset(config)
    training = training_split(data, config.pictures, PICTURES)
    validation = data.split(VALIDATION, VALIDATION_PICTURES)
    objective = NoisedClipObjective(
        base,
        teacher.tower,
        config.distil,
        split_latents(base, training, config.latents_dir),
        RegionPairs(validation, base.side, 1),
        split_latents(base, validation, config.latents_dir),
    )
    torch.manual_seed(config.seed)
    encoder = NoisedEncoder(teacher.dim, config.widths, channels=base.unet.config["in_channels"])
    samples = RegionPairs(training, base.side, config.regions, config.seed)
    encoder = train(config, encoder, objective.loss, samples, report=objective.report)
    tensors = {f"{NOISED}{name}": tensor for name, tensor in encoder.state_dict().items()}
    sizes: dict[str, Any] = {"noised": encoder.config}
    if teacher.own is not None:
        tensors |= {f"{CLEAN}{name}": tensor for name, tensor in teacher.own.state_dict().items()}
        sizes["clean"] = {"dim": teacher.dim}
    write_adapter(
        config.out or ADAPTERS / noised_clip_name(base.name),
        Adapter(
            kind=NOISED_CLIP,
            base=base.name,
            prediction_type=base.prediction_type,
            phrase_encoder=CLIP,
            config=sizes,
            dataset=config.dataset,
            steps=config.steps,
            state_dict={name: tensor.half() for name, tensor in tensors.items()},
        ),
    )


if __name__ == "__main__":
    run(main, Config)
