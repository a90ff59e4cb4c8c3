"""What the learned prior of arrangements is trained on: the density of true boxes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sg_models.arrangement.layout_prior import LayoutPrior
from sg_models.arrangement.phrase_vectors import PhraseVectors
from sg_models.arrangement.prior_mixture import to_places
from sg_models.arrangement.prior_network import PriorBatch, PriorNetwork
from sg_models.graph.scene_graph import SceneGraph

REPORT_BATCH = 128


@dataclass
class PriorSizes:
    """Options of the network's sizes, see `PriorNetwork`."""

    dim: int = 64
    hidden: int = 128
    heads: int = 4
    encoder_layers: int = 2
    layers: int = 2
    components: int = 8
    anchored: int = 2


def network_sizes(sizes: PriorSizes, phrase_dim: int) -> dict[str, int]:
    """A prior file's `config`."""
    return {"phrase_dim": phrase_dim} | {name: getattr(sizes, name) for name in asdict(PriorSizes())}


class PriorObjective:
    """Loss, and report on validation graphs with all their boxes."""

    def __init__(self, validation: Sequence[SceneGraph], vectors: PhraseVectors) -> None:
        self.validation, self.vectors = validation, vectors

    def loss(
        self, model: nn.Module, batch: PriorBatch, generator: torch.Generator, step: int = 0
    ) -> tuple[Tensor, dict[str, float]]:
        batch = batch.to(next(model.parameters()).device)
        return -model(batch).log_prob(to_places(batch.boxes)).mean(), {}

    def report(self, model: PriorNetwork) -> dict[str, float]:
        """Nats per object of the validation graphs; less is better."""
        found = mean_surprise(LayoutPrior(self.vectors, model), self.validation)
        tqdm.write(f"validation: {found:.4f} nats per object")
        return {"validation": found}


def mean_surprise(prior: LayoutPrior, graphs: Sequence[SceneGraph]) -> float:
    """The mean of -log density over all objects of graphs, in nats."""
    return float(surprises(prior, graphs).mean())


def surprises(prior: LayoutPrior, graphs: Sequence[SceneGraph]) -> np.ndarray:
    """-log density of the box of each object of graphs, in nats: [O]."""
    rng = np.random.default_rng(0)
    parts = (graphs[i : i + REPORT_BATCH] for i in range(0, len(graphs), REPORT_BATCH))
    return -torch.cat([prior.log_density(part, rng) for part in parts]).numpy()
