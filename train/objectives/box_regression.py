"""sg2im's way to boxes, to be compared with: a graph convolution, and a regression that is trained on their squares."""

from typing import Any

import torch
from torch import Tensor, nn

from sg_models.arrangement.prior_network import PriorBatch
from sg_models.layers.graph_encoder import GraphEncoder


class BoxRegression(nn.Module):
    """Boxes from a graph (Johnson et al. 2018, section 3, "Scene layout"), from phrase vectors instead of classes."""

    def __init__(self, phrase_dim: int, dim: int = 64, hidden: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.attribute_in = nn.Linear(phrase_dim, phrase_dim, bias=False)
        self.encoder = GraphEncoder(phrase_dim, dim, hidden, layers)
        self.box = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, 4))

    def forward(self, batch: PriorBatch) -> Tensor:
        """Boxes (x0, y0, x1, y1) [O, 4] inside the picture."""
        names = batch.names + self.attribute_in(batch.attributes)
        objects, _ = self.encoder(names, batch.predicates, batch.edges)
        start, side = self.box(objects).sigmoid().chunk(2, dim=-1)
        start = start * (1 - side)
        return torch.cat([start, start + side], dim=-1)


def regression_loss(
    model: nn.Module, batch: PriorBatch, generator: torch.Generator, step: int = 0
) -> tuple[Tensor, dict[str, Any]]:
    """The mean squared error of the boxes' edges, as in sg2im."""
    return nn.functional.mse_loss(model(batch), batch.boxes), {}
