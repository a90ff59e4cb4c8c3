"""Trains gated self-attention on a scene graph's grounding tokens: variants (v), (vi) and (vii).

    python train/train_gsa.py                                                                      # (vi), CLIP phrases
    python train/train_gsa.py --phrases bert                                                       # (v)
    python train/train_structure_clip.py && python train/train_gsa.py --phrases structure-clip     # (vii)

The base is frozen, the prompt is "an image", the graph encoder learns along, and one graph in ten is the null graph.
The UNet learns with the true boxes, and a box predictor learns beside it to place what has none. Beside the loss it
prints the gap to another picture's graph, how many predicted layouts obey their graph, and how far the gates are open.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from sg_models.adapters.adapter import Adapter, read_adapter, write_adapter
from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.adapters.variants import CLIP, GSA, STRUCTURE_CLIP, structure_clip_name
from train.bases.attention import train_attention
from train.bases.dry_run import print_plan
from train.bases.load import TrainingOptions, default_run_dir, load_training_base
from train.bases.model_folders import ADAPTERS
from train.conditioning.initial_weights import read_structure_clip, start_from
from train.conditioning.phrase_encoders import choose_variant, graph_features
from train.data.dataset import (
    VALIDATION,
    check_room,
    count_tokens,
    knows_boxes,
    room_for,
    training_count,
    training_split,
)
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.training_samples import PictureOptions, picture_samples
from train.objectives.gsa import (
    LEAST_TOKENS,
    GSADenoiser,
    GSAObjective,
    GSASizes,
    adapter_sizes,
    make_plan,
    open_gates,
    parameter_groups,
)
from train.objectives.structure_clip import RETRAIN, count_triples
from train.running.command_line import run
from train.running.loop import LoopConfig, train
from train.running.precision import keep_frozen_in

VALIDATION_PICTURES = 128
PICTURES = 20000  # of Shapes, which has no end


@dataclass
class Config(LoopConfig, TrainingOptions, DatasetOptions, PictureOptions, GSASizes):
    phrases: str = CLIP
    """what encodes the graph's phrases: clip, bert or structure-clip"""
    bert: str | None = None
    """a folder or hub id of another BERT than the packaged one"""
    structure_clip: Path | None = None
    """what train_structure_clip.py wrote, for phrases structure-clip; the base's in models/scene_graph if left out"""
    init_from: Path | None = None
    """an adapter file to start from, of whichever phrases; a checkpoint in run_dir wins"""
    steps: int = 7000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 100
    run_dir: Path | None = None
    """checkpoints, logs and previews, runs/<variant>, or runs/<variant>-<base>, if left out"""
    pictures: int | None = None
    """training pictures; all that there are if left out, 20,000 of Shapes"""
    timestep_power: float = 0.8
    """below 1, noisy timesteps are drawn more often: that is where the layout is decided"""
    out: Path | None = None
    """the adapter file, models/scene_graph/<variant>-gsa-<phrases>-<base>.safetensors if left out"""


def main(config: Config) -> None:
    variant = choose_variant(GSA, config.phrases)
    if config.dry_run:
        return print_plan(config, make_plan, training_count(open_dataset(config), config.pictures, PICTURES))
    base, data = load_training_base(config), open_dataset(config)
    config.run_dir = config.run_dir or default_run_dir(variant.name, base.name)
    knowledge = None
    if config.phrases == STRUCTURE_CLIP:
        knowledge = read_structure_clip(config.structure_clip or ADAPTERS / structure_clip_name(base.name), base)
    encode = graph_features(config.phrases, base, config.bert, knowledge)
    splits = training_split(data, config.pictures, PICTURES), data.split(VALIDATION, VALIDATION_PICTURES)
    config.tokens = room_for(splits, config.tokens, LEAST_TOKENS, count_tokens, "objects and relations", "--tokens")
    if knowledge is not None:
        for split in splits:
            check_room(split, knowledge.config["knowledge"]["count"], count_triples, "triples", RETRAIN)
    samples, validation = (
        picture_samples(config, base, split, encode, seed=config.seed, nested_rate=data.nested_rate) for split in splits
    )
    sizes = adapter_sizes(config, base.unet, encode.dim)
    if not knows_boxes(samples.split):
        sizes["places_objects"] = False
    torch.manual_seed(config.seed)
    adapter = GSAAdapter(sizes, attention=train_attention(base.unet))
    open_gates(adapter)
    earlier = 0
    if config.init_from:
        earlier = start_from(adapter, read_adapter(config.init_from), config.phrases, encode.dim)
    objective = GSAObjective(base, validation, encode, large_area=data.large_area, timestep_power=config.timestep_power)
    model = GSADenoiser(base, adapter)
    if config.half_unet:
        keep_frozen_in(base.unet, config.mixed_precision)
    groups = parameter_groups(model, config.learning_rate)
    train(config, model, objective.loss, samples, parameters=groups, preview=objective.preview, report=objective.report)
    state = {name: tensor.half() for name, tensor in adapter.state_dict().items()}
    if knowledge is not None:  # frozen, and part of the adapter: its phrases are no one else's
        state |= knowledge.state_dict
        sizes |= {"knowledge": knowledge.config["knowledge"]}
    write_adapter(
        config.out or ADAPTERS / variant.file_name(base.name),
        Adapter(
            kind=GSA,
            base=base.name,
            prediction_type=base.prediction_type,
            phrase_encoder=config.phrases,
            config=sizes,
            dataset=data.name,
            steps=earlier + config.steps,
            state_dict=state,
        ),
    )


if __name__ == "__main__":
    run(main, Config)
