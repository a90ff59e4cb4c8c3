"""Trains graph conditioning (gc): the second stage of "Image Synthesis with Graph Conditioning", arXiv 2401.14111.

    python train/train_gca.py && python train/train_graph_conditioning.py
    python train/train_graph_conditioning.py --unet full    # as in the paper, which needs much memory

The context is the labels of the objects, read by the base's text model, with the graph's vector among them: what
the UNet learns of relations comes through that. The text model and the picture tower are frozen; the graph encoder
learns along, and beside denoising what keeps it aligned with the pictures. Out come an adapter file and a LoRA for
ComfyUI's own *Load LoRA*; *Graph Conditioning* makes the conditionings that belong to it. With `--unet full` the whole
UNet comes out instead, for *Load Diffusion Model*.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter, write_adapter
from sg_models.adapters.graph_conditioning import GraphConditioning
from sg_models.adapters.variants import CLIP, GCA, GRAPH_CONDITIONING, VARIANTS
from sg_models.files.safetensors_file import write_weights
from sg_models.layers.graph_signal import INTERLEAVE, Mode
from train.bases.attention import train_attention
from train.bases.base_model import BaseModel
from train.bases.dry_run import print_plan
from train.bases.load import TrainingOptions, default_run_dir, load_training_base
from train.bases.model_folders import ADAPTERS
from train.conditioning.initial_weights import start_from
from train.conditioning.phrase_encoders import graph_features
from train.conditioning.trained_unet import LORA, Trained, trained_path, trained_tensors
from train.data.dataset import VALIDATION, training_count, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.pictured_samples import PicturedSamples, RememberedPictures
from train.data.training_samples import PictureOptions, picture_samples
from train.objectives.graph_alignment import Alignment, AlignmentOptions, GraphSizes, check_alignment
from train.objectives.graph_conditioning import (
    EMPTY_RATE,
    GraphConditioningDenoiser,
    GraphConditioningObjective,
    adapter_sizes,
    make_plan,
    parameter_groups,
)
from train.objectives.picture_features import open_picture_tower
from train.running.command_line import UsageError, run
from train.running.loop import LoopConfig, train
from train.running.precision import keep_frozen_in
from train.running.processes import this_process

VARIANT = VARIANTS["gc"]
VALIDATION_PICTURES = 100
PICTURES = 20000  # of Shapes, which has no end


@dataclass
class Config(LoopConfig, TrainingOptions, DatasetOptions, PictureOptions, AlignmentOptions, GraphSizes):
    mode: Mode = INTERLEAVE
    """where the graph's vector goes among the text: interleave, as in the paper, append, replace, or fuse, where each
    word asks the graph for its own"""
    unet: Trained = LORA
    """what of the UNet is trained: a LoRA, or full, as in the paper"""
    aligned: Path | None = None
    """what train_gca.py wrote, which the graph encoder goes on from; its default for this base if left out"""
    gca: bool = True
    """whether the graph encoder starts aligned and is kept so; --no-gca is the paper's ablation and starts anew"""
    reconstruction_weight: float = 0.7
    """λ, of denoising; 1 - λ is that of all alignment"""
    grounding_weight: float = 0.1
    """of how well each place of a picture reads the words of the object whose box is there; not the paper's, where 0.
    In the mode replace there are no words"""
    steps: int = 4000
    batch_size: int = 32
    learning_rate: float = 1e-3
    rank: int = 32
    run_dir: Path | None = None
    """checkpoints, logs and previews, runs/gc, or runs/gc-<base>, if left out"""
    pictures: int | None = None
    """training pictures; all that there are if left out, 20,000 of Shapes"""
    timestep_power: float = 0.8
    """below 1, noisy timesteps are drawn more often: that is where the layout is decided"""
    out: Path | None = None
    """the adapter file, models/scene_graph/graph-conditioning-<base>.safetensors if left out; what was trained of the
    UNet is written beside it, or into models/loras or models/diffusion_models if left out"""


def check_options(config: Config) -> None:
    """Raises `UsageError` for options that contradict each other."""
    check_alignment(config, config.batch_size)
    if not 0 <= config.reconstruction_weight <= 1:
        raise UsageError(f"--reconstruction-weight is a part, 0 to 1, and not {config.reconstruction_weight:g}")
    if config.grounding_weight and config.gradient_checkpointing:
        raise UsageError(
            "--gradient-checkpointing keeps nothing of what the UNet reads; write --grounding-weight 0 with it"
        )
    if config.shards:
        raise UsageError("graph conditioning learns from pictures, which shards do not hold; leave out --shards")


def start_aligned(adapter: GraphConditioning, config: Config, base: BaseModel) -> int:
    """Gives an adapter the graph encoder that `train_gca.py` wrote, and returns the steps that it was trained in.

    Raises `AdapterError` if there is none, or one of another base or other sizes.
    """
    path = config.aligned or default_run_dir(GCA, base.name) / "gca.safetensors"
    if not path.exists():
        raise AdapterError(
            f"there is no aligned graph encoder {path}; run train/train_gca.py --base {config.base} first, or write "
            "--no-gca to do without"
        )
    file = read_adapter(path)
    file.check_kind(GCA)
    file.check_base(base.name, base.prediction_type)
    return start_from(adapter, file, CLIP, adapter.config["phrase_dim"])


def main(config: Config) -> None:
    check_options(config)
    if config.dry_run:
        return print_plan(config, make_plan, training_count(open_dataset(config), config.pictures, PICTURES))
    tower = open_picture_tower(config.picture_tower, this_process().device)
    base, data = load_training_base(config), open_dataset(config)
    config.run_dir = config.run_dir or default_run_dir(VARIANT.name, base.name)
    encode = graph_features(CLIP, base)
    sizes = adapter_sizes(config, encode.dim, tower.dim, base.unet.config["cross_attention_dim"])
    torch.manual_seed(config.seed)
    adapter = GraphConditioning(sizes)
    earlier = start_aligned(adapter, config, base) if config.gca else 0
    train_attention(base.unet)
    alignment = Alignment(tower.dim, config.queue, pairs=config.gca, discrepancy=config.mmd)
    model = GraphConditioningDenoiser(base, adapter, alignment, config.unet, config.rank)
    if config.grounding_weight:
        model.keep_maps()
    if config.half_unet:
        keep_frozen_in(base.unet, config.mixed_precision)
    splits = training_split(data, config.pictures, PICTURES), data.split(VALIDATION, VALIDATION_PICTURES)
    samples, validation = (
        PicturedSamples(
            picture_samples(config, base, split, encode, seed=config.seed, null_rate=EMPTY_RATE),
            RememberedPictures(split, base.side, tower),
        )
        for split in splits
    )
    objective = GraphConditioningObjective(
        base,
        validation,
        encode,
        reconstruction_weight=config.reconstruction_weight,
        alignment_weight=config.alignment_weight,
        grounding_weight=config.grounding_weight,
        large_area=data.large_area,
        timestep_power=config.timestep_power,
    )
    groups = parameter_groups(model, config.learning_rate)
    train(config, model, objective.loss, samples, parameters=groups, preview=objective.preview, report=objective.report)
    write(config, base, model, data.name, earlier + config.steps)


def write(config: Config, base: BaseModel, model: GraphConditioningDenoiser, dataset: str, steps: int) -> None:
    """The adapter file, and what was trained of the UNet."""
    out = config.out or ADAPTERS / VARIANT.adapter_names(base.name)[0]
    of_unet = {name: tensor.half() for name, tensor in trained_tensors(model.unet, config.unet).items()}
    header = {"scene_graph.graph_conditioning": out.stem, "scene_graph.steps": str(steps)}
    write_weights(trained_path(config.unet, base.name, config.out and config.out.parent), of_unet, header)
    write_adapter(
        out,
        Adapter(
            kind=GRAPH_CONDITIONING,
            base=base.name,
            prediction_type=base.prediction_type,
            phrase_encoder=CLIP,
            config=model.adapter.config,
            dataset=dataset,
            steps=steps,
            state_dict={name: tensor.half() for name, tensor in model.adapter.state_dict().items()},
        ),
    )


if __name__ == "__main__":
    run(main, Config)
