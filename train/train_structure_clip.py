"""Trains Structure-CLIP: a base's CLIP with structured knowledge, on graphs and their hard negatives.

    python train/train_structure_clip.py

On SG-Mini, text and picture tower go on from `train_text_encoder.py`; on another base the text tower is the base's own,
read at the layer that its UNet is conditioned on, and the picture tower is new. The knowledge encoder is new, the text
tower frozen. The losses are the paper's: a hinge against other captions of the batch, soon against the hardest one
alone, and a margin against the caption of the swapped graph. Last, it measures on held-out pictures how often the true
caption beats the swapped one, before and after.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.structure_clip import KNOWLEDGE
from sg_models.adapters.variants import STRUCTURE_CLIP, structure_clip_name
from sg_models.bases import sg_mini
from sg_models.bases.known_bases import SG_MINI
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from sg_models.layers.picture_tower import PictureTower
from train.bases.base_model import BaseModel
from train.bases.clip_tokenizer import clip_tokenizer, token_ids
from train.bases.load import FAMILIES, BaseOptions, default_run_dir, family_of, load_base
from train.bases.model_folders import ADAPTERS
from train.conditioning.phrase_encoders import TokenMeans
from train.data.dataset import VALIDATION, room_for, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.objectives.structure_clip import (
    LEAST_TRIPLES,
    Pairs,
    StructureCLIP,
    StructureClipObjective,
    accuracy,
    count_triples,
    parameter_groups,
)
from train.running.command_line import UsageError, run
from train.running.loop import LoopConfig, train
from train.running.processes import this_process

VALIDATION_PAIRS = 400
PICTURES = 12000  # of Shapes, which has no end


@dataclass
class Config(LoopConfig, BaseOptions, DatasetOptions):
    steps: int = 2000
    batch_size: int = 96
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    mixed_precision: str = "no"
    run_dir: Path | None = None
    """checkpoints and logs, runs/structure-clip, or runs/structure-clip-<base>, if left out"""
    pictures: int | None = None
    """training pictures, read before the start; all that there are if left out, 12,000 of Shapes"""
    text_encoder: Path = Path("runs/text_encoder/text_encoder.safetensors")
    """what train_text_encoder.py wrote, for SG-Mini"""
    picture_tower: Path = Path("runs/text_encoder/picture_tower.safetensors")
    layers: int = 4
    heads: int = 4
    triples: int | None = None
    """most triples of a graph, attributes and relations together; as the largest one has if left out, 24 at least"""
    length: int = 5
    """most tokens of a triple's subject, predicate or object"""
    knowledge_weight: float = 1.0
    """λ, of the knowledge beside the caption; 0.2 in the released script, whose text tower learns along"""
    pairs: int = 2000
    """held-out pictures for the measurement at the end"""
    out: Path | None = None
    """the adapter file, models/scene_graph/structure-clip-<base>.safetensors if left out"""


@dataclass(frozen=True)
class TextTower:
    """A base's text model, frozen, and the pictures' side and tower that belong to it."""

    base: str
    prediction_type: str
    embed: Callable[[list[str]], Tensor]  # P captions → [P, D]
    words: TokenMeans
    dim: int
    picture: PictureTower
    side: int


def load_towers(config: Config) -> TextTower:
    """The towers that the options name, on this process's device; raises `UsageError` where SG-Mini's are missing."""
    if family_of(config.base) is FAMILIES[SG_MINI]:
        return sg_mini_towers(config)
    base = load_base(config.base, config.prediction_type).to(this_process().device).freeze()
    return base_towers(base, config.length)


def sg_mini_towers(config: Config) -> TextTower:
    """Both as `train_text_encoder.py` wrote them, the text tower with its last layer and projection."""
    for path in (config.text_encoder, config.picture_tower):
        if not path.exists():
            raise UsageError(f"there is no {path}; run train/train_text_encoder.py first")
    text = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
    text.load_state_dict(load_file(config.text_encoder))
    text.requires_grad_(False).eval().to(this_process().device)
    picture = PictureTower(sg_mini.TEXT_MODEL["projection_dim"])
    picture.load_state_dict(load_file(config.picture_tower))
    tokenizer = clip_tokenizer()

    def embed(captions: list[str]) -> Tensor:
        return text(input_ids=token_ids(tokenizer, captions).to(text.device)).text_embeds

    words = TokenMeans(tokenizer, text.get_input_embeddings().weight, config.length)
    dim = sg_mini.TEXT_MODEL["projection_dim"]
    return TextTower(sg_mini.NAME, sg_mini.PREDICTION_TYPE, embed, words, dim, picture, sg_mini.SIDE)


def base_towers(base: BaseModel, length: int) -> TextTower:
    """The base's own text tower, at the layer that the UNet is conditioned on, and a new picture tower."""
    words = TokenMeans(base.tokenizer, base.text_encoder.get_input_embeddings().weight, length)
    dim = base.text_encoder.config.hidden_size
    picture = PictureTower(dim)
    return TextTower(base.name, base.prediction_type, base.encode_phrases, words, dim, picture, base.side)


def knowledge_sizes(config: Config, towers: TextTower) -> dict[str, int]:
    """The knowledge encoder's `config` in files: `KnowledgeEncoder`'s arguments."""
    return {
        "word_dim": towers.words.table.shape[1],
        "dim": towers.dim,
        "layers": config.layers,
        "heads": config.heads,
        "count": config.triples or LEAST_TRIPLES,
        "length": config.length,
    }


def main(config: Config) -> None:
    data = open_dataset(config)
    torch.manual_seed(config.seed)
    towers = load_towers(config)
    config.run_dir = config.run_dir or default_run_dir(STRUCTURE_CLIP, towers.base)
    splits = (
        training_split(data, config.pictures, PICTURES),
        data.split(data.test_splits[0], config.pairs),
        data.split(VALIDATION, VALIDATION_PAIRS),
    )
    config.triples = room_for(splits, config.triples, LEAST_TRIPLES, count_triples, "triples", "--triples")
    sizes = knowledge_sizes(config, towers)
    knowledge = KnowledgeEncoder(**sizes)
    samples, held_out, validation = (Pairs(split, towers.side, config.seed) for split in splits)
    model = StructureCLIP(towers.embed, towers.words, towers.picture, knowledge, weight=0.0)
    plain = accuracy(model.to(this_process().device).eval(), held_out, config.pairs)
    model.knowledge_weight = config.knowledge_weight
    objective = StructureClipObjective(validation, VALIDATION_PAIRS)
    groups = parameter_groups(model, config.learning_rate)
    model = train(config, model.train(), objective.loss, samples, parameters=groups, report=objective.report)
    trained = accuracy(model.eval(), held_out, config.pairs)
    print(f"true before swapped caption, {config.pairs} held-out pairs: CLIP {plain:.3f}, Structure-CLIP {trained:.3f}")
    write_adapter(
        config.out or ADAPTERS / structure_clip_name(towers.base),
        Adapter(
            kind=STRUCTURE_CLIP,
            base=towers.base,
            prediction_type=towers.prediction_type,
            phrase_encoder=STRUCTURE_CLIP,
            config={
                "knowledge": sizes,
                "knowledge_weight": config.knowledge_weight,
                "accuracy": {"clip": plain, STRUCTURE_CLIP: trained},
            },
            dataset=config.dataset,
            steps=config.steps,
            state_dict={f"{KNOWLEDGE}{name}": tensor.half() for name, tensor in model.knowledge.state_dict().items()},
        ),
    )


if __name__ == "__main__":
    run(main, Config)
