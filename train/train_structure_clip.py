"""Trains Structure-CLIP on Shapes: SG-Mini's CLIP with structured knowledge, on graphs and their hard negatives.

    python train/train_structure_clip.py

Text and picture tower go on from `train_text_encoder.py`; the knowledge encoder is new. The losses are the paper's: a
hinge against the hardest other caption of the batch, and a margin against the caption of the swapped graph. At the end
it measures, on 2,000 held-out pictures, how often the true caption beats the swapped one, before and after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from sg_models import sg_mini
from sg_models.caption import caption
from sg_models.hard_negatives import hard_negative
from sg_models.knowledge_encoder import KnowledgeEncoder, pooled, word_vectors
from sg_models.safetensors_file import write_weights
from sg_models.scene_graph import SceneGraph
from sg_models.structure_clip import KNOWLEDGE_WEIGHT, triple_words
from train.base_model import clip_tokenizer, token_ids
from train.command_line import run
from train.loop import LoopConfig, train
from train.shapes import SIDE, render, scene, seeds
from train.train_text_encoder import PART, PictureTower

HARDEST_MARGIN, SWAPPED_MARGIN, SWAPPED_WEIGHT = 0.2, 0.1, 5.0  # of the released training script
MEAN_NEGATIVES_STEPS = 100  # before it takes the hardest


@dataclass
class Config(LoopConfig):
    steps: int = 3000
    batch_size: int = 96
    learning_rate: float = 3e-4
    weight_decay: float = 0.1
    mixed_precision: str = "no"
    run_dir: Path = Path("runs/structure-clip")
    pictures: int = 12000
    """training pictures, rendered before the start"""
    text_encoder: Path = Path("runs/text_encoder/text_encoder.safetensors")
    picture_tower: Path = Path("runs/text_encoder/picture_tower.safetensors")
    layers: int = 6
    heads: int = 4
    triples: int = 24
    """most triples of a graph, attributes and relations together"""
    words: int = 5
    """most tokens of a triple's subject, predicate or object"""
    knowledge_weight: float = KNOWLEDGE_WEIGHT
    pairs: int = 2000
    """held-out pictures for the measurement at the end"""
    out: Path = Path("runs/structure-clip/structure_clip.safetensors")


class StructureCLIP(nn.Module):
    """Embeddings of pictures, and of graphs as caption and triples."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.text = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
        self.text.load_state_dict(load_file(config.text_encoder))
        dim = sg_mini.TEXT_MODEL["projection_dim"]
        self.picture = PictureTower(dim)
        self.picture.load_state_dict(load_file(config.picture_tower))
        width = sg_mini.TEXT_MODEL["hidden_size"]
        self.knowledge = KnowledgeEncoder(width, dim, config.layers, config.heads, config.triples)
        self.knowledge_weight, self.words = config.knowledge_weight, config.words
        self.tokenizer = clip_tokenizer()

    def forward(self, pictures: Tensor, graphs: Sequence[SceneGraph]) -> tuple[Tensor, Tensor]:
        """pictures [B, 3, 64, 64] in [-1, 1] and G graphs → embeddings [B, D] and [G, D] of unit length."""
        return F.normalize(self.picture(pictures).float(), dim=-1), self.embed(graphs)

    def embed(self, graphs: Sequence[SceneGraph]) -> Tensor:
        """Graphs as caption and triples: [G, D] of unit length."""
        device = self.knowledge.gate.device
        ids = token_ids(self.tokenizer, [caption(graph) for graph in graphs]).to(device)
        text = self.text(input_ids=ids).text_embeds
        words, valid, _ = triple_words(graphs, self.encode_words, self.knowledge.count)
        knowledge = pooled(self.knowledge(words, valid), valid)
        return F.normalize(text.float() + self.knowledge_weight * knowledge.float(), dim=-1)

    def encode_words(self, words: list[str]) -> Tensor:
        """The mean of each word's token embeddings: [P, W]."""
        return encode_words(self.tokenizer, self.text.get_input_embeddings().weight, words, self.words)


def encode_words(tokenizer, table: Tensor, words: list[str], length: int) -> Tensor:
    """Words as the mean of at most `length` of their tokens' embeddings in a table [V, W]: [P, W]."""
    rows = tokenizer(words, add_special_tokens=False, truncation=True, max_length=length).input_ids
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows], device=table.device)
    real = torch.tensor([[True] * len(row) + [False] * (length - len(row)) for row in rows], device=table.device)
    return word_vectors(table, ids, real)


class Pairs:
    """Pictures, their graphs and one hard negative of each, by sample index."""

    def __init__(self, split: str, count: int) -> None:
        self.graphs, pictures = [], []
        for seed in tqdm(seeds(split, count), desc=f"{split} pictures", mininterval=5):
            made = scene(seed)
            self.graphs.append(made.graph)
            pictures.append(render(made).reshape(PART, SIDE // PART, PART, SIDE // PART, 3).mean((1, 3)))
        self.pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1

    def __call__(self, indices: Sequence[int]) -> tuple[Tensor, list[SceneGraph], list[SceneGraph]]:
        """Pictures [B, 3, 64, 64] in [-1, 1], graphs, and their negatives; scenes that have none are passed over."""
        chosen = [self._one(i) for i in indices]
        return self.pictures[[w for w, _ in chosen]], [self.graphs[w] for w, _ in chosen], [n for _, n in chosen]

    def _one(self, index: int) -> tuple[int, SceneGraph]:
        rng = np.random.default_rng((index, 17))
        while True:
            which = int(rng.integers(len(self.graphs)))
            negative = hard_negative(self.graphs[which], rng)
            if negative is not None:
                return which, negative


def structure_loss(pictures: Tensor, graphs: Tensor, negatives: Tensor, hardest: bool) -> Tensor:
    """The paper's losses on unit embeddings [B, D] of pictures, their graphs and the swapped graphs."""
    similarity = pictures @ graphs.T  # [B, B]
    right = similarity.diagonal()
    wrong = similarity - 2 * torch.eye(len(right), device=right.device)  # never the right one
    hinges = [F.relu(HARDEST_MARGIN + wrong - right[:, None]), F.relu(HARDEST_MARGIN + wrong - right[None])]
    if hardest:
        contrast = hinges[0].amax(dim=1).mean() + hinges[1].amax(dim=0).mean()
    else:
        contrast = hinges[0].mean() + hinges[1].mean()
    swapped = F.relu(SWAPPED_MARGIN + (pictures * negatives).sum(dim=-1) - right).mean()
    return contrast + SWAPPED_WEIGHT * swapped


@torch.no_grad()
def accuracy(model: StructureCLIP, samples: Pairs, count: int, batch: int = 100) -> float:
    """How often the true caption is nearer to the picture than the swapped one."""
    right = 0
    for start in range(0, count, batch):
        pictures, graphs, negatives = samples(range(start, min(start + batch, count)))
        device = model.knowledge.gate.device
        seen, true = model(pictures.to(device), graphs)
        right += int(((seen * true).sum(-1) > (seen * model.embed(negatives)).sum(-1)).sum())
    return right / count


def main(config: Config) -> None:
    samples, held_out = Pairs("train", config.pictures), Pairs("held-out", config.pairs)
    validation = Pairs("val", 400)
    model = StructureCLIP(config).to(PartialState().device)
    model.knowledge_weight = 0.0
    plain = accuracy(model.eval(), held_out, config.pairs)
    model.knowledge_weight = config.knowledge_weight

    def loss(
        model: nn.Module, batch: tuple[Tensor, list[SceneGraph], list[SceneGraph]], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        pictures, graphs, negatives = batch
        seen, told = model(pictures.to(PartialState().device), [*graphs, *negatives])
        true, swapped = told.chunk(2)
        figures = {"accuracy": ((seen * true).sum(-1) > (seen * swapped).sum(-1)).float().mean().item()}
        return structure_loss(seen, true, swapped, hardest=True), figures

    def report(model: nn.Module) -> dict[str, float]:
        figures = {"val accuracy": accuracy(model, validation, 400), "gate": model.knowledge.gate.abs().mean().item()}
        tqdm.write(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures

    model = train(config, model.train(), loss, samples, report=report)
    trained = accuracy(model.eval(), held_out, config.pairs)
    print(f"true before swapped caption, {config.pairs} held-out pairs: CLIP {plain:.3f}, Structure-CLIP {trained:.3f}")
    kept = {f"text.{k}": v for k, v in model.text.state_dict().items()}
    kept |= {f"knowledge.{k}": v for k, v in model.knowledge.state_dict().items()}
    write_weights(config.out, kept, {"accuracy": f"{plain:.4f} {trained:.4f}"})


if __name__ == "__main__":
    run(main, Config)
