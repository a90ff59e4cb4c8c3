"""Aligns a graph encoder with CLIP: the first stage of graph conditioning (gc), before train_graph_conditioning.py.

    python train/train_gca.py

Nothing is drawn here. A graph gets one vector, of its objects and relations, and learns to lie where the frozen picture
tower puts the graph's picture: against a discriminator (GCA), pair by pair, and as one cloud beside the other (MMD).
Beside the losses it prints how often a held-out graph has its own picture nearest, of a hundred. `--no-gca` and
`--no-mmd` are for the paper's ablation, `--pair-weight 0` leaves the discriminator alone, as the paper has it.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.graph_conditioning import AlignedGraphEncoder
from sg_models.adapters.variants import CLIP, GCA
from train.bases.load import BaseOptions, default_run_dir, load_base
from train.conditioning.phrase_encoders import graph_features
from train.data.dataset import VALIDATION, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.pictured_samples import PicturedSamples, RememberedPictures
from train.data.training_samples import graph_samples
from train.objectives.graph_alignment import (
    AlignmentOptions,
    GCAObjective,
    GraphAlignment,
    GraphSizes,
    check_alignment,
    encoder_sizes,
)
from train.objectives.picture_features import open_picture_tower
from train.running.command_line import UsageError, run
from train.running.loop import LoopConfig, train
from train.running.processes import this_process

VALIDATION_GRAPHS = 100
PICTURES = 20000  # of Shapes, which has no end


@dataclass
class Config(LoopConfig, BaseOptions, DatasetOptions, AlignmentOptions, GraphSizes):
    gca: bool = True
    """whether there is a discriminator"""
    pair_weight: float = 1.0
    """of the squared error between a graph and its picture, beside what the discriminator says"""
    steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 5e-4
    mixed_precision: str = "no"
    run_dir: Path | None = None
    """checkpoints and logs, runs/gca, or runs/gca-<base>, if left out"""
    pictures: int | None = None
    """training pictures; all that there are if left out, 20,000 of Shapes"""
    out: Path | None = None
    """the aligned graph encoder, gca.safetensors in run_dir if left out"""


def main(config: Config) -> None:
    check_alignment(config, config.batch_size)
    if not (config.gca or config.mmd or config.pair_weight):
        raise UsageError("nothing is left to learn; leave out --no-gca or --no-mmd, or write --pair-weight 1")
    tower = open_picture_tower(config.picture_tower, this_process().device)
    base = load_base(config.base, config.prediction_type).to(this_process().device).freeze()
    data = open_dataset(config)
    config.run_dir = config.run_dir or default_run_dir(GCA, base.name)
    encode = graph_features(CLIP, base)
    splits = training_split(data, config.pictures, PICTURES), data.split(VALIDATION, VALIDATION_GRAPHS)
    samples, validation = (
        PicturedSamples(graph_samples(split, encode, seed=config.seed), RememberedPictures(split, base.side, tower))
        for split in splits
    )
    sizes = encoder_sizes(config, encode.dim, tower.dim)
    torch.manual_seed(config.seed)
    encoder = AlignedGraphEncoder(sizes)
    model = GraphAlignment(
        encoder, config.queue, adversarial=config.gca, pairs=config.pair_weight > 0, discrepancy=config.mmd
    )
    objective = GCAObjective(validation, config.alignment_weight, config.pair_weight)
    train(config, model, objective.loss, samples, report=objective.report)
    write_adapter(
        config.out or config.run_dir / "gca.safetensors",
        Adapter(
            kind=GCA,
            base=base.name,
            prediction_type=base.prediction_type,
            phrase_encoder=CLIP,
            config=sizes,
            dataset=data.name,
            steps=config.steps,
            state_dict={name: tensor.half() for name, tensor in encoder.state_dict().items()},
        ),
    )


if __name__ == "__main__":
    run(main, Config)
