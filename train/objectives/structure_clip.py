"""Structure-CLIP: a text tower, frozen, with structured knowledge added, against pictures and hard negatives.

Huang et al. 2023, sections 3.2 to 3.4. The text tower stays frozen, unlike the paper's: its states are what the UNet is
conditioned on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sg_models.adapters.structure_clip import graph_knowledge, triples
from sg_models.graph.caption import caption
from sg_models.graph.hard_negatives import hard_negative
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from sg_models.layers.picture_tower import PictureTower
from train.conditioning.phrase_encoders import TokenMeans
from train.data.dataset import Split
from train.data.graph_samples import sample_rng
from train.data.graph_variation import caption_part
from train.objectives.picture_tower import as_input, shrink
from train.running.command_line import UsageError

HARDEST_MARGIN, SWAPPED_MARGIN, SWAPPED_WEIGHT = 0.2, 0.1, 5.0  # of the released training script
MEAN_NEGATIVES_STEPS = 100  # before it takes the hardest
GATE_SPEED = 10  # the gate learns this much faster than the rest
LEAST_TRIPLES = 24
RETRAIN = "train/train_structure_clip.py with --triples"
MOST_PASSED_OVER = 1000  # scenes in a row without a negative: then there is none to be had
CHUNK = 64  # pictures that are shrunk at once
CAPTION_RELATIONS = 6  # as many as CLIP can read of in one sentence; larger graphs are read in parts
MOST_CAPTIONS = 20_000  # embeddings that are kept: those of swapped graphs hardly come again
PAIRS = 17  # what a sample's random numbers are for, beside other scripts' uses of the same index


class StructureCLIP(nn.Module):
    """Embeddings of pictures, and of graphs as caption and triples.

    `embed_captions` gives vectors [P, D] of P texts, frozen; `weight` is λ, of the knowledge beside the caption.
    """

    def __init__(
        self,
        embed_captions: Callable[[list[str]], Tensor],
        words: TokenMeans,
        picture: PictureTower,
        knowledge: KnowledgeEncoder,
        weight: float,
    ) -> None:
        super().__init__()
        self.embed_captions, self.words = embed_captions, words
        self.picture, self.knowledge, self.knowledge_weight = picture, knowledge, weight
        self.captions: dict[str, Tensor] = {}  # their embeddings do not change in a run; the oldest first

    def forward(self, pictures: Tensor, graphs: Sequence[SceneGraph]) -> tuple[Tensor, Tensor]:
        """pictures [B, 3, 64, 64] in [-1, 1] and G graphs → embeddings [B, D] and [G, D] of unit length."""
        return F.normalize(self.picture(pictures).float(), dim=-1), self.embed(graphs)

    def embed(self, graphs: Sequence[SceneGraph]) -> Tensor:
        """Graphs as caption and triples: [G, D] of unit length."""
        knowledge = graph_knowledge(graphs, self.words, self.knowledge).float()
        return F.normalize(self.read([caption(graph) for graph in graphs]) + self.knowledge_weight * knowledge, dim=-1)

    @torch.no_grad()
    def read(self, captions: Sequence[str]) -> Tensor:
        """Captions as plain CLIP embeds them: [G, D] of unit length."""
        new = [text for text in dict.fromkeys(captions) if text not in self.captions]
        if new:
            embeddings = F.normalize(self.embed_captions(new).float(), dim=-1).cpu()
            self.captions |= dict(zip(new, embeddings, strict=True))
        found = torch.stack([self.captions[text] for text in captions]).to(self.knowledge.gate.device)
        for text in list(self.captions)[: max(len(self.captions) - MOST_CAPTIONS, 0)]:
            del self.captions[text]
        return found


@dataclass(frozen=True)
class PairBatch:
    """B pictures, their graphs and one hard negative of each."""

    pictures: Tensor  # [B, 3, 64, 64] in [-1, 1]
    graphs: list[SceneGraph]
    negatives: list[SceneGraph]


class Pairs:
    """Pictures, their graphs and one hard negative of each, by sample index; `side` of the pictures in pixels.

    Of a graph with more relations than a sentence can say, or more than `most_triples` triples, each sample has a part.
    """

    def __init__(self, split: Split, side: int, seed: int = 0, most_triples: int = LEAST_TRIPLES) -> None:
        self.graphs, self.seed, self.most_triples = split.graphs, seed, most_triples
        self.where = f"{split.name} of {split.dataset}"
        starts = tqdm(range(0, len(split.graphs), CHUNK), desc=f"{split.name} pictures", mininterval=5)
        chunks = (range(start, min(start + CHUNK, len(split.graphs))) for start in starts)
        self.pictures = np.concatenate([shrink(split.pictures(places, side)) for places in chunks])

    def __call__(self, indices: Sequence[int]) -> PairBatch:
        """The samples of some indices; scenes that have no negative are passed over."""
        places, graphs, negatives = zip(*(self._one(index) for index in indices), strict=True)
        return PairBatch(as_input(self.pictures[list(places)]), list(graphs), list(negatives))

    def _one(self, index: int) -> tuple[int, SceneGraph, SceneGraph]:
        """The place of a scene, what of its graph is said, and the negative of that."""
        rng = sample_rng(index, PAIRS, self.seed)
        for _ in range(MOST_PASSED_OVER):
            place = int(rng.integers(len(self.graphs)))
            graph = caption_part(self.graphs[place], CAPTION_RELATIONS, self.most_triples, rng)
            negative = hard_negative(graph, rng)
            if negative is not None:
                return place, graph, negative
        raise UsageError(
            f"of {MOST_PASSED_OVER} graphs in {self.where}, none says anything else when objects, attributes or "
            "predicates trade places; Structure-CLIP needs graphs with relations or several attributes"
        )


class StructureClipObjective:
    """The paper's losses: against other captions of the batch, soon the hardest, and against the swapped graph."""

    def __init__(self, validation: Pairs, count: int) -> None:
        self.validation, self.count = validation, count

    def loss(
        self, model: nn.Module, batch: PairBatch, generator: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        pictures, embedded = model(batch.pictures.to(generator.device), [*batch.graphs, *batch.negatives])
        true, swapped = embedded.chunk(2)
        figures = {"accuracy": _nearer(pictures, true, swapped).float().mean().item()}
        return structure_loss(pictures, true, swapped, hardest=step >= MEAN_NEGATIVES_STEPS), figures

    def report(self, model: StructureCLIP) -> dict[str, float]:
        figures = {"val accuracy": accuracy(model, self.validation, self.count)}
        figures["gate"] = model.knowledge.gate.abs().mean().item()
        tqdm.write(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures


def count_triples(graph: SceneGraph) -> int:
    """What the knowledge encoder has room for: a triple for each attribute and each relation."""
    return len(triples(graph))


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
    right, device = 0, model.knowledge.gate.device
    for start in range(0, count, batch):
        pairs = samples(range(start, min(start + batch, count)))
        pictures, true = model(pairs.pictures.to(device), pairs.graphs)
        right += int(_nearer(pictures, true, model.embed(pairs.negatives)).sum())
    return right / count


def parameter_groups(model: StructureCLIP, learning_rate: float) -> list[dict[str, Any]]:
    """The gate apart from the rest."""
    gate = model.knowledge.gate
    rest = [p for p in model.parameters() if p.requires_grad and p is not gate]
    return [{"params": rest}, {"params": [gate], "lr": GATE_SPEED * learning_rate, "weight_decay": 0.0}]


def _nearer(pictures: Tensor, true: Tensor, swapped: Tensor) -> Tensor:
    """Which pictures [B, D] are nearer to their true embedding than to the swapped one: bool [B]."""
    return (pictures * true).sum(-1) > (pictures * swapped).sum(-1)
