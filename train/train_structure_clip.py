"""Trains Structure-CLIP on Shapes: SG-Mini's CLIP with structured knowledge, on graphs and their hard negatives.

    python train/train_structure_clip.py

Text and picture tower go on from `train_text_encoder.py`; the knowledge encoder is new. The text tower stays frozen,
unlike the paper's: its states are what the UNet is conditioned on. The losses are the paper's: a hinge against other
captions of the batch, soon against the hardest one alone, and a margin against the caption of the swapped graph. Last,
it measures on 2,000 held-out pictures how often the true caption beats the swapped one, before and after.
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

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.structure_clip import KNOWLEDGE, STRUCTURE_CLIP, graph_knowledge
from sg_models.bases import sg_mini
from sg_models.graph.caption import caption
from sg_models.graph.hard_negatives import hard_negative
from sg_models.graph.scene_graph import SceneGraph
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from train.bases.clip_tokenizer import clip_tokenizer, token_ids
from train.bases.model_folders import ADAPTERS
from train.conditioning.phrase_encoders import TokenMeans
from train.data.shapes.scene import SIDE, render, scene, seeds
from train.running.command_line import run
from train.running.loop import LoopConfig, train
from train.train_text_encoder import PART, PictureTower

HARDEST_MARGIN, SWAPPED_MARGIN, SWAPPED_WEIGHT = 0.2, 0.1, 5.0  # of the released training script
MEAN_NEGATIVES_STEPS = 100  # before it takes the hardest
GATE_SPEED = 10  # the gate learns this much faster than the rest


@dataclass
class Config(LoopConfig):
    steps: int = 2000
    batch_size: int = 96
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    mixed_precision: str = "no"
    run_dir: Path = Path("runs/structure-clip")
    pictures: int = 12000
    """training pictures, rendered before the start"""
    text_encoder: Path = Path("runs/text_encoder/text_encoder.safetensors")
    picture_tower: Path = Path("runs/text_encoder/picture_tower.safetensors")
    layers: int = 4
    heads: int = 4
    triples: int = 24
    """most triples of a graph, attributes and relations together"""
    length: int = 5
    """most tokens of a triple's subject, predicate or object"""
    knowledge_weight: float = 1.0
    """λ, of the knowledge beside the caption; 0.2 in the released script, whose text tower learns along"""
    pairs: int = 2000
    """held-out pictures for the measurement at the end"""
    out: Path = ADAPTERS / "structure-clip-sg-mini.safetensors"


class StructureCLIP(nn.Module):
    """Embeddings of pictures, and of graphs as caption and triples."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.text = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
        self.text.load_state_dict(load_file(config.text_encoder))
        self.text.requires_grad_(False).eval()
        dim = sg_mini.TEXT_MODEL["projection_dim"]
        self.picture = PictureTower(dim)
        self.picture.load_state_dict(load_file(config.picture_tower))
        self.knowledge = KnowledgeEncoder(**knowledge_sizes(config))
        self.knowledge_weight = config.knowledge_weight
        self.captions: dict[str, Tensor] = {}  # their embeddings do not change in a run
        self.words = TokenMeans(clip_tokenizer(), self.text.get_input_embeddings().weight, config.length)

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
        device = self.knowledge.gate.device
        new = [text for text in dict.fromkeys(captions) if text not in self.captions]
        if new:
            embeddings = self.text(input_ids=token_ids(self.words.tokenizer, new).to(device)).text_embeds
            self.captions |= dict(zip(new, F.normalize(embeddings.float(), dim=-1).cpu(), strict=True))
        return torch.stack([self.captions[text] for text in captions]).to(device)


def knowledge_sizes(config: Config) -> dict[str, int]:
    """The knowledge encoder's `config` in files: `KnowledgeEncoder`'s arguments."""
    return {
        "word_dim": sg_mini.TEXT_MODEL["hidden_size"],
        "dim": sg_mini.TEXT_MODEL["projection_dim"],
        "layers": config.layers,
        "heads": config.heads,
        "count": config.triples,
        "length": config.length,
    }


Batch = tuple[Tensor, list[SceneGraph], list[SceneGraph], int]


class Pairs:
    """Pictures, their graphs and one hard negative of each, by sample index."""

    def __init__(self, split: str, count: int) -> None:
        self.graphs, pictures = [], []
        for seed in tqdm(seeds(split, count), desc=f"{split} pictures", mininterval=5):
            made = scene(seed)
            self.graphs.append(made.graph)
            pictures.append(render(made).reshape(PART, SIDE // PART, PART, SIDE // PART, 3).mean((1, 3)))
        self.pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1

    def __call__(self, indices: Sequence[int]) -> Batch:
        """Pictures [B, 3, 64, 64] in [-1, 1], graphs, their negatives, and the first index.

        Scenes that have no negative are passed over.
        """
        chosen = [self._one(i) for i in indices]
        graphs, negatives = [self.graphs[which] for which, _ in chosen], [negative for _, negative in chosen]
        return self.pictures[[which for which, _ in chosen]], graphs, negatives, indices[0]

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
        pictures, graphs, negatives, _ = samples(range(start, min(start + batch, count)))
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

    def loss(model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        pictures, graphs, negatives, first = batch
        seen, told = model(pictures.to(PartialState().device), [*graphs, *negatives])
        true, swapped = told.chunk(2)
        figures = {"accuracy": ((seen * true).sum(-1) > (seen * swapped).sum(-1)).float().mean().item()}
        return structure_loss(seen, true, swapped, hardest=first >= MEAN_NEGATIVES_STEPS * config.batch_size), figures

    def report(model: nn.Module) -> dict[str, float]:
        figures = {"val accuracy": accuracy(model, validation, 400), "gate": model.knowledge.gate.abs().mean().item()}
        tqdm.write(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures

    gate = [model.knowledge.gate]
    rest = [p for p in model.parameters() if p.requires_grad and p is not gate[0]]
    groups = [
        {"params": rest},
        {"params": gate, "lr": GATE_SPEED * config.learning_rate, "weight_decay": 0.0},
    ]
    model = train(config, model.train(), loss, samples, parameters=groups, report=report)
    trained = accuracy(model.eval(), held_out, config.pairs)
    print(f"true before swapped caption, {config.pairs} held-out pairs: CLIP {plain:.3f}, Structure-CLIP {trained:.3f}")
    state = {name: tensor.half() for name, tensor in model.knowledge.state_dict().items()}
    sizes = {
        "knowledge": knowledge_sizes(config),
        "knowledge_weight": config.knowledge_weight,
        "accuracy": {"clip": plain, STRUCTURE_CLIP: trained},
    }
    write_adapter(
        config.out,
        Adapter(
            STRUCTURE_CLIP,
            sg_mini.NAME,
            "epsilon",
            STRUCTURE_CLIP,
            sizes,
            "shapes",
            config.steps,
            {f"{KNOWLEDGE}{name}": tensor for name, tensor in state.items()},
        ),
    )


if __name__ == "__main__":
    run(main, Config)
