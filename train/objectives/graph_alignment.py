"""Graph conditioning's first stage: a graph encoder whose vectors lie where a frozen CLIP puts the graphs' pictures.

"Image Synthesis with Graph Conditioning" (arXiv 2401.14111), GAN-based CLIP Alignment (GCA): the graph encoder is the
generator, and a discriminator learns to tell its vectors from features of pictures. The loop has one optimiser and one
backward pass, so the two take turns within a step: the discriminator sees vectors that are detached, and the generator
a copy of the discriminator whose weights are. Neither loss reaches the other's weights, and each answers what the other
was before the step.

A discriminator alone sees no pairs: nothing brings a graph's vector to its own picture but what the two clouds have in
common. So the squared error of pairs, which the paper has in its second stage, is here from the start; weight 0 leaves
it out, as in the paper.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm

from sg_models.adapters.graph_conditioning import AlignedGraphEncoder
from sg_models.layers.graph_batch import GraphBatch
from train.data.pictured_samples import PicturedBatch, PicturedSamples
from train.losses.alignment_losses import ALIGNMENT, LEAST_SAMPLES, MMD, mmd, pair_loss, weighted
from train.objectives.picture_features import OF_SG_MINI
from train.running.command_line import UsageError

WIDTHS, SLOPE, DROPOUT = (256, 128), 0.2, 0.3  # of the released discriminator


@dataclass
class GraphSizes:
    """Options of a graph encoder's sizes."""

    graph_dim: int = 128
    graph_hidden: int = 256
    graph_layers: int = 4


@dataclass
class AlignmentOptions:
    """Of both scripts of graph conditioning."""

    picture_tower: str = OF_SG_MINI
    """what train_picture_tower.py wrote, for SG-Mini; else a folder or hub id of a CLIP of transformers' format"""
    mmd: bool = True
    """whether the vectors of graphs are to be distributed as the features of pictures are"""
    alignment_weight: float = 2 / 3
    """β, of the alignment; 1 - β is that of the maximum mean discrepancy"""
    queue: int = 512
    """graphs and pictures of earlier batches that this discrepancy is measured with, beside those of the batch"""


def check_alignment(options: AlignmentOptions, batch_size: int) -> None:
    """Raises `UsageError` for weights that are none, and for a queue that is too short."""
    if not 0 <= options.alignment_weight <= 1:
        raise UsageError(f"--alignment-weight is a part, 0 to 1, and not {options.alignment_weight:g}")
    most = batch_size + options.queue
    if options.queue < 0 or (options.mmd and most < LEAST_SAMPLES):
        raise UsageError(
            f"--batch-size {batch_size} and --queue {options.queue} are {most} samples, of which MMD says nothing; "
            f"write --queue {max(LEAST_SAMPLES - batch_size, 0)} at least, or --no-mmd"
        )


class FeatureQueue(nn.Module):
    """The last graph vectors and picture features, the newest first. They are in checkpoints: a resumed run has them.

    Only what is trained on is kept, and no gradient passes to it.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size = size
        for name in ("graphs", "pictures"):
            self.register_buffer(name, torch.zeros(size, dim))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def forward(self, graphs: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """A batch's vectors and features, [B, J] each, followed by those in the queue: [B + Q, J] each."""
        kept = int(self.filled) if self.training else 0
        both = torch.cat([graphs, self.graphs[:kept]]), torch.cat([pictures, self.pictures[:kept]])
        if self.training:
            count = min(self.size, len(both[0]))
            for own, new in zip((self.graphs, self.pictures), both, strict=True):
                own[:count] = new[:count].detach()
            self.filled.fill_(count)
        return both


class Alignment(nn.Module):
    """The terms of the loss on graph vectors that need no discriminator; each only where it is asked for."""

    def __init__(self, dim: int, queue: int, *, pairs: bool, discrepancy: bool) -> None:
        super().__init__()
        self.pairs = pairs
        self.queue = FeatureQueue(queue, dim) if discrepancy else None

    def forward(self, graphs: Tensor, pictures: Tensor) -> dict[str, Tensor]:
        """Graph vectors and their pictures' features, both [B, J] → `ALIGNMENT` and `MMD`.

        MMD is 0 until there are enough samples for it, in the first steps of small batches. Its gradient is as large as
        if the whole queue had one: a longer queue is a better estimate, and no smaller weight.
        """
        terms = {ALIGNMENT: pair_loss(graphs, pictures)} if self.pairs else {}
        if self.queue is not None:
            clouds = self.queue(graphs, pictures)
            value = mmd(*clouds) if len(clouds[0]) >= LEAST_SAMPLES else 0.0 * graphs.sum()
            share = len(graphs) / len(clouds[0])  # of the cloud, which learns
            terms[MMD] = value.detach() + (value - value.detach()) / share
        return terms


class Discriminator(nn.Module):
    """Tells pictures' features from graphs' vectors.

    The released one with layers' norms in the place of batches': what it says of one vector is its own.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((dim, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.LeakyReLU(SLOPE), nn.Dropout(DROPOUT)]
        self.layers = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 1))

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors [B, J] → logits [B], above 0 for those that look like pictures'."""
        return self.layers(vectors)[:, 0]

    def own_loss(self, graphs: Tensor, pictures: Tensor) -> Tensor:
        """Binary cross-entropy of telling [B, J] from [B, J]; no gradient passes to the graphs."""
        logits = self(pictures), self(graphs.detach())
        right = torch.ones_like(logits[0]), torch.zeros_like(logits[1])
        return sum(F.binary_cross_entropy_with_logits(*pair) for pair in zip(logits, right, strict=True)) / 2

    def generator_loss(self, graphs: Tensor) -> Tensor:
        """Binary cross-entropy of taking graphs [B, J] for pictures; no gradient passes to the discriminator."""
        frozen = {name: parameter.detach() for name, parameter in self.named_parameters()}
        logits = functional_call(self, frozen, (graphs,))
        return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


class GraphAlignment(nn.Module):
    """The graph encoder with its discriminator, and what else aligns it."""

    def __init__(
        self, encoder: AlignedGraphEncoder, queue: int, *, adversarial: bool, pairs: bool, discrepancy: bool
    ) -> None:
        super().__init__()
        dim = encoder.config["joint_dim"]
        self.encoder = encoder
        self.discriminator = Discriminator(dim) if adversarial else None
        self.alignment = Alignment(dim, queue, pairs=pairs, discrepancy=discrepancy)

    def forward(self, graphs: GraphBatch, pictures: Tensor) -> dict[str, Tensor]:
        """A batch and its pictures' features [B, J] → the terms of the loss: those of `Alignment`, and of the two."""
        vectors = self.encoder.vectors(graphs)
        terms = self.alignment(vectors, pictures)
        if self.discriminator is not None:
            terms["generator"] = self.discriminator.generator_loss(vectors)
            terms["discriminator"] = self.discriminator.own_loss(vectors, pictures)
        return terms


class GCAObjective:
    """Loss and report of the first stage: β · (generator + pairs) + (1 - β) · MMD, and the discriminator's own."""

    def __init__(self, validation: PicturedSamples, alignment_weight: float, pair_weight: float) -> None:
        self.validation, self.alignment_weight, self.pair_weight = validation, alignment_weight, pair_weight

    def loss(
        self, model: nn.Module, batch: PicturedBatch, generator: torch.Generator, step: int = 0
    ) -> tuple[Tensor, dict[str, float]]:
        terms = model(batch.encoded.to(generator.device), batch.features.to(generator.device))
        return self.total(terms), {name: value.item() for name, value in terms.items()}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The loss that its terms make."""
        weights = {ALIGNMENT: self.pair_weight, "generator": 1.0}
        aligned = [weight * terms[name] for name, weight in weights.items() if name in terms]
        given = {ALIGNMENT: torch.stack(aligned).sum()} if aligned else {}
        given |= {MMD: terms[MMD]} if MMD in terms else {}
        value = weighted(given, self.alignment_weight)
        return value + terms["discriminator"] if "discriminator" in terms else value

    def report(self, model: GraphAlignment) -> dict[str, float]:
        """Of whole validation graphs, with what the averaged weights make of them."""
        figures = alignment_figures(model.encoder, self.validation.whole())
        tqdm.write(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures


@torch.no_grad()
def alignment_figures(encoder: AlignedGraphEncoder, batch: PicturedBatch) -> dict[str, float]:
    """How near graphs are to their pictures, and how often a graph has its own picture nearest, of all in the batch."""
    device = next(encoder.parameters()).device
    graphs = F.normalize(encoder.vectors(batch.encoded.to(device)), dim=-1)
    pictures = F.normalize(batch.features.to(device), dim=-1)
    near = graphs @ pictures.T  # [B, B]
    cosine, top = near.diagonal().mean().item(), retrieval(near)
    return {"val cosine": cosine, f"retrieval among {len(near)}": top}


def retrieval(near: Tensor) -> float:
    """How often a graph is nearest to its own picture, by the likeness of graphs to pictures [B, B].

    A picture that is as near counts as nearer: vectors that are all alike find none.
    """
    return ((near >= near.diagonal()[:, None]).sum(dim=1) == 1).float().mean().item()


def encoder_sizes(sizes: Any, phrase_dim: int, joint_dim: int) -> dict[str, int]:
    """An encoder's `config` (see `AlignedGraphEncoder`) for a phrase encoder and a picture tower."""
    chosen = {name: getattr(sizes, name) for name in ("graph_dim", "graph_hidden", "graph_layers")}
    return chosen | {"phrase_dim": phrase_dim, "joint_dim": joint_dim}
