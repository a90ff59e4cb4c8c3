"""Trains a LoRA of the UNet on Structure-CLIP embeddings: variant (ii).

    python train/train_structure_clip.py && python train/train_lora.py

The prompt is the graph as a caption, read by the base's text model, with the knowledge embedding of the graph's triples
added to every token. Text model and knowledge encoder are frozen; of the UNet, the LoRA alone is trained. What comes
out is a file for ComfyUI's own *Load LoRA*; *Structure-CLIP Encode* makes the conditioning that belongs to it.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from sg_models.adapters.structure_clip import build_knowledge
from sg_models.adapters.variants import VARIANTS, structure_clip_name
from sg_models.files.safetensors_file import write_weights
from train.bases.attention import train_attention
from train.bases.dry_run import print_plan
from train.bases.load import TrainingOptions, default_run_dir, load_training_base
from train.bases.model_folders import ADAPTERS, LORAS
from train.conditioning.conditioners import StructureClipConditioner
from train.conditioning.initial_weights import read_structure_clip
from train.conditioning.lora import lora_tensors
from train.data.dataset import VALIDATION, check_room, training_count, training_split
from train.data.graph_samples import no_features
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.training_samples import PictureOptions, picture_samples
from train.objectives.lora import EMPTY_RATE, LoraDenoiser, LoraObjective, make_plan
from train.objectives.structure_clip import RETRAIN, count_triples
from train.running.command_line import run
from train.running.loop import LoopConfig, train
from train.running.precision import keep_frozen_in

VARIANT = VARIANTS["ii"]
VALIDATION_PICTURES = 128
PICTURES = 20000  # of Shapes, which has no end


@dataclass
class Config(LoopConfig, TrainingOptions, DatasetOptions, PictureOptions):
    structure_clip: Path | None = None
    """what train_structure_clip.py wrote, models/scene_graph/structure-clip-<base>.safetensors if left out"""
    steps: int = 4000
    batch_size: int = 32
    learning_rate: float = 1e-3
    rank: int = 32
    run_dir: Path | None = None
    """checkpoints, logs and previews, runs/ii, or runs/ii-<base>, if left out"""
    pictures: int | None = None
    """training pictures; all that there are if left out, 20,000 of Shapes"""
    timestep_power: float = 0.8
    """below 1, noisy timesteps are drawn more often: that is where the layout is decided"""
    out: Path | None = None
    """the LoRA, models/loras/ii-lora-structure-clip-<base>.safetensors if left out"""


def main(config: Config) -> None:
    if config.dry_run:
        return print_plan(config, make_plan, training_count(open_dataset(config), config.pictures, PICTURES))
    base, data = load_training_base(config), open_dataset(config)
    config.run_dir = config.run_dir or default_run_dir(VARIANT.name, base.name)
    knowledge = config.structure_clip or ADAPTERS / structure_clip_name(base.name)
    file = read_structure_clip(knowledge, base)
    condition = StructureClipConditioner(base, build_knowledge(file), file.config["knowledge_weight"])
    splits = training_split(data, config.pictures, PICTURES), data.split(VALIDATION, VALIDATION_PICTURES)
    for split in splits:
        check_room(split, condition.encoder.count, count_triples, "triples", RETRAIN)
    samples, validation = (
        picture_samples(config, base, split, no_features, seed=config.seed, null_rate=EMPTY_RATE) for split in splits
    )
    torch.manual_seed(config.seed)
    train_attention(base.unet)
    model = LoraDenoiser(base, config.rank)
    if config.half_unet:
        keep_frozen_in(base.unet, config.mixed_precision)
    objective = LoraObjective(
        base, validation, condition, large_area=data.large_area, timestep_power=config.timestep_power
    )
    train(config, model, objective.loss, samples, preview=objective.preview, report=objective.report)
    tensors = {name: tensor.half() for name, tensor in lora_tensors(model.unet).items()}
    header = {"scene_graph.structure_clip": knowledge.stem, "scene_graph.steps": str(config.steps)}
    write_weights(config.out or LORAS / VARIANT.file_name(base.name), tensors, header)


if __name__ == "__main__":
    run(main, Config)
