"""Trains a LoRA of the UNet on Structure-CLIP embeddings: variant (ii).

    python train/train_structure_clip.py && python train/train_lora.py

The prompt is the graph as a caption, read by the base's text model, with the knowledge embedding of the graph's triples
added to every token. Text model and knowledge encoder are frozen; of the UNet, the LoRA alone is trained. What comes
out is a file for ComfyUI's own *Load LoRA*; *Structure-CLIP Encode* makes the conditioning that belongs to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from tqdm import tqdm

from sg_models.adapters.structure_clip import build_knowledge
from sg_models.files.safetensors_file import write_weights
from sg_models.graph.scene_graph import SceneGraph
from train.bases.attention import train_attention
from train.bases.dry_run import EmptyBase, Plan, print_plan
from train.bases.load import TrainingOptions, training_base
from train.bases.model_folders import ADAPTERS, LORAS
from train.conditioning.conditioners import StructureClipConditioner
from train.conditioning.lora import inject, lora_tensors
from train.data.graph_variation import told, without_boxes
from train.data.latents import shapes_latents
from train.data.shapes.scene import scene, seeds
from train.losses.denoising import diffusion_loss
from train.losses.grounded_loss import object_places
from train.running.command_line import run
from train.running.loop import LoopConfig, train
from train.running.precision import keep_frozen_in
from train.train_gsa import draw_preview, structure_clip

EMPTY_RATE = 0.10
Batch = tuple[Tensor, list[SceneGraph], list[SceneGraph], Tensor]


@dataclass
class Config(LoopConfig, TrainingOptions):
    structure_clip: Path = ADAPTERS / "structure-clip-sg-mini.safetensors"
    """what train_structure_clip.py wrote"""
    steps: int = 4000
    batch_size: int = 32
    learning_rate: float = 1e-3
    rank: int = 32
    run_dir: Path = Path("runs/ii")
    pictures: int = 20000
    """training pictures, encoded before the start"""
    latents_dir: Path = Path("runs/shapes")
    timestep_power: float = 0.8
    """below 1, noisy timesteps are drawn more often: that is where the layout is decided"""
    out: Path | None = None
    """the LoRA, models/loras/ii-lora-structure-clip-<base>.safetensors if left out"""


class LoraDenoiser(nn.Module):
    """The frozen UNet with a LoRA in it, which is trained."""

    def __init__(self, unet: UNet2DConditionModel, rank: int) -> None:
        super().__init__()
        inject(unet, rank)
        self.unet = unet

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """noisy [B, 4, H, W], context [B, 77, D] → the UNet's prediction."""
        return self.unet(noisy, timesteps, context).sample


class Samples:
    """Latents and graphs by sample index; what a graph leaves unsaid is drawn from the index too."""

    def __init__(self, latents: Tensor, split: str) -> None:
        self.latents = latents
        self.graphs = [scene(s).graph for s in tqdm(seeds(split, len(latents)), desc=f"{split} graphs", mininterval=5)]

    def __call__(self, indices: Sequence[int]) -> Batch:
        """Latents [B, 4, h, w], graphs as they are told and whole, and which of them are to be left out [B]."""
        rngs = [np.random.default_rng((i, 13)) for i in indices]
        which = [int(rng.integers(len(self.graphs))) for rng in rngs]
        whole = [self.graphs[w] for w in which]
        graphs = [told(graph, rng) for graph, rng in zip(whole, rngs, strict=True)]
        return self.latents[which], graphs, whole, torch.tensor([rng.random() < EMPTY_RATE for rng in rngs])


def places(graphs: Sequence[SceneGraph], size: tuple[int, int]) -> Tensor:
    """`object_places` [B, h, w] of whole graphs."""
    boxes = torch.tensor([thing.box for graph in graphs for thing in graph.objects])
    graph_of = torch.tensor([b for b, graph in enumerate(graphs) for _ in graph.objects])
    return object_places(boxes, graph_of, len(graphs), size)


def planned(config: Config, base: EmptyBase) -> Plan:
    """For `--dry-run`."""
    model = LoraDenoiser(base.unet, config.rank)
    return Plan(model, lambda count: model(*base.inputs(count)))


def main(config: Config) -> None:
    if config.dry_run:
        return print_plan(config, planned)
    base = training_base(config)
    file = structure_clip(config.structure_clip)
    condition = StructureClipConditioner(base, build_knowledge(file), file.config["knowledge_weight"])
    samples, validation = (
        Samples(shapes_latents(base, config.latents_dir, split, count), split)
        for split, count in (("train", config.pictures), ("val", 128))
    )
    torch.manual_seed(config.seed)
    train_attention(base.unet)
    model = LoraDenoiser(base.unet, config.rank)
    if config.half_unet:
        keep_frozen_in(base.unet, config.mixed_precision)
    empty = base.encode_prompts([""])

    def loss(model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        latents, graphs, whole, is_empty = batch
        noisy, timesteps, target = base.noised(latents.to(base.device), generator, config.timestep_power)
        context = torch.where(is_empty[:, None, None].to(base.device), empty, condition.context(graphs))
        predicted = model(noisy, timesteps, context)
        weights = places(whole, latents.shape[-2:]).to(base.device)
        with torch.no_grad():
            plain = diffusion_loss(base, predicted, target, timesteps)
        return diffusion_loss(base, predicted, target, timesteps, weights), {"denoising": plain.item()}

    def report(model: nn.Module) -> dict[str, float]:
        """Loss with the right and with another picture's graph, on the same noise."""
        whole, nobody = validation.graphs, torch.zeros(len(validation.graphs), dtype=torch.bool)
        right, shuffled = (
            loss(model, (validation.latents, graphs, whole, nobody), torch.Generator(base.device).manual_seed(0))[1]
            for graphs in (whole, whole[1:] + whole[:1])
        )
        figures = {"val right graph": right["denoising"], "gap": shuffled["denoising"] - right["denoising"]}
        tqdm.write(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        return figures

    shown = [without_boxes(graph) for graph in validation.graphs[:8]]
    model = train(
        config,
        model,
        loss,
        samples,
        preview=lambda model, path: draw_preview(base, condition, shown, path),
        report=report,
    )
    out = config.out or LORAS / f"ii-lora-structure-clip-{base.name}.safetensors"
    tensors = {name: tensor.half() for name, tensor in lora_tensors(model.unet).items()}
    header = {"scene_graph.structure_clip": config.structure_clip.stem, "scene_graph.steps": str(config.steps)}
    write_weights(out, tensors, header)


if __name__ == "__main__":
    run(main, Config)
